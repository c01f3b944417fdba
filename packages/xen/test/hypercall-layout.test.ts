/** The operation in memory, byte by byte, against the layout as it is documented in docs and README. */
import { Access, NO_PASID } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { OP_BYTES, SubOp, TRANSLATION_BYTES, ViommuClient } from "../src/index.ts";
import { BASE, dmaRequest, GUEST, L2_IR, XenHost } from "./xen-host.ts";

const AT = 8 * 2 ** 20;

/** Catches the operation that a client issues, instead of carrying it out. */
function issued(host: XenHost, issue: (client: ViommuClient) => void): Uint8Array {
  const { memory } = host.control;
  const seen = new Uint8Array(OP_BYTES);
  const client = new ViommuClient({
    memory,
    buffer: { hi: 0, lo: AT, bytes: 4096 },
    invoke: (hi, lo) => {
      memory.readBytes(hi, lo, seen);
      return 0;
    },
  });
  issue(client);
  return seen;
}

function bytes(...parts: readonly (readonly number[])[]): Uint8Array {
  const all = new Uint8Array(OP_BYTES);
  all.set(parts.flat());
  return all;
}

const header = (command: number): number[] => [command, 0, 0, 0, 1, 0, 0, 0];
const zeros = (count: number): number[] => Array.from({ length: count }, () => 0);

describe("struct viommu_op", () => {
  const host = new XenHost();

  it("has 64 bytes, a translation 48", () => {
    expect([OP_BYTES, TRANSLATION_BYTES]).toEqual([64, 48]);
    expect(SubOp).toEqual({
      QUERY_CAPABILITIES: 0,
      CREATE: 1,
      DESTROY: 2,
      TRANSLATE: 3,
      TRANSLATE_BATCH: 4,
      DRAINED: 5,
    });
  });

  it("create: type, flags, segment, device count, base, capabilities", () => {
    const seen = issued(host, (client) =>
      client.create(GUEST, { base: BASE, capabilities: L2_IR }),
    );
    expect(seen).toEqual(
      bytes(header(1), zeros(8), [0, 1, 0, 0], zeros(4), [0, 0, 0xd9, 0xfe, 0, 0, 0, 0], [6]),
    );
  });

  it("create for a list of devices: their source-ids as u16 behind a pointer", () => {
    const seen = issued(host, (client) =>
      client.create(GUEST, {
        base: 0x12_3456_7000,
        capabilities: 1,
        segment: 0x1234,
        devices: [0x0010, 0x81fa],
      }),
    );
    expect(seen).toEqual(
      bytes(
        header(1),
        zeros(8),
        [0, 0, 0x34, 0x12],
        [2, 0, 0, 0],
        [0, 0x70, 0x56, 0x34, 0x12, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0],
        [0x40, 0, 0x80, 0, 0, 0, 0, 0],
      ),
    );
    const list = new Uint8Array(4);
    host.control.memory.readBytes(0, AT + OP_BYTES, list);
    expect([...list]).toEqual([0x10, 0x00, 0xfa, 0x81]);
  });

  it("destroy and drained: the id, the ticket", () => {
    expect(issued(host, (client) => client.destroy(GUEST, 3))).toEqual(bytes(header(2), [3]));
    expect(issued(host, (client) => client.drained(GUEST, 3, 0x8765_4321))).toEqual(
      bytes(header(5), [3, 0, 0, 0], zeros(4), [0x21, 0x43, 0x65, 0x87]),
    );
  });

  it("translate: segment, bus, devfn, access, address type, flags, PASID, IOVA", () => {
    const request = dmaRequest(0xab12, 0x1_2345_6789_a, Access.ATOMIC);
    const seen = issued(host, (client) => client.translate(GUEST, 2, request, true));
    expect(seen).toEqual(
      bytes(
        header(3),
        zeros(8),
        [2, 0, 0xab, 0x12, 3, 0, 1, 0],
        [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        [0x9a, 0x78, 0x56, 0x34, 0x12, 0, 0, 0],
      ),
    );
    Object.assign(request, { pasid: 0xa_bcde, hi: -1, lo: 0x3fff_f000, addressType: 1 });
    const upper = issued(host, (client) => client.translate(GUEST, 0, request));
    expect([...upper.subarray(16, 40)]).toEqual([
      ...[0, 0, 0xab, 0x12, 3, 1, 0, 0],
      ...[0xde, 0xbc, 0x0a, 0, 0, 0, 0, 0],
      ...[0, 0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ]);
    expect(NO_PASID).toBe(-1);
  });

  it("batch: pointer, number, number done", () => {
    const seen = issued(host, (client) => {
      client.translateBatch(GUEST, 0, [dmaRequest(0, 0, 1)], new Int32Array(1));
    });
    expect(seen).toEqual(
      bytes(header(4), zeros(8), [0x40, 0, 0x80, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]),
    );
  });
});
