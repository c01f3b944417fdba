import { readFile } from "node:fs/promises";
import { createMemory } from "@viommu/memory";
import { createHookTable, NO_PASID } from "@viommu/plugin";
import type { GuestMemory, PagingSpace } from "@viommu/plugin";
import { readTrace, replayTrace } from "@viommu/trace";
import type { MemoryBytes, Trace } from "@viommu/trace";
import { createProfile, createUnit, profileFromRegisters } from "@viommu/vtd";
import { describe, expect, it } from "vitest";
import { createGuestIommu, createPhysicalUnit, FrameAllocator, P2m } from "../src/index.ts";
import { reach } from "./support/guest-host.ts";

const RECORDING = new URL(
  "../../../fixtures/caching-mode/linux612-legacy-caching-mode.jsonl.gz",
  import.meta.url,
);

/** Guest frame g is host frame g + OFFSET; the host's tables lie below. */
const OFFSET = 2 ** 21;

/**
 * A recording tells of memory when the recorded unit read it; a shadow reads earlier, when the guest
 * invalidates. So each value is moved to the first moment at which it can have been there: after the
 * last read of the same address.
 */
function toldEarlier(trace: Trace): Trace {
  const last = new Map<bigint, number>();
  const events = trace.events.map((event) => ({ ...event, reads: [] as MemoryBytes[] }));
  for (const [i, event] of trace.events.entries()) {
    for (const read of event.reads) {
      const earliest = (last.get(read.address) ?? -1) + 1;
      events[Math.min(earliest, i)]!.reads.push(read);
    }
    for (const read of event.reads) last.set(read.address, i);
  }
  return { ...trace, events };
}

/** Guest frame of a page, by a walk of the guest's second stage as it is now; -1 without rights. */
function walk(memory: GuestMemory, root: bigint, dfn: number, levels: number): number {
  let table = root;
  for (let level = levels; level >= 1; level--) {
    const index = BigInt(Math.floor(dfn / 512 ** (level - 1)) % 512);
    const entry = read64(memory, table + 8n * index);
    if ((entry & 3n) === 0n) return -1;
    const frame = entry & 0xf_ffff_ffff_f000n;
    if (level === 1 || (entry & 0x80n) !== 0n) {
      return Number(frame >> 12n) + (dfn % 512 ** (level - 1));
    }
    table = frame;
  }
  return -1;
}

function read64(memory: GuestMemory, address: bigint): bigint {
  const out = new Int32Array(2);
  memory.readWords(Number(address >> 30n), Number(address & 0x3fff_ffffn), 2, out);
  return (BigInt(out[1]! >>> 0) << 32n) | BigInt(out[0]! >>> 0);
}

describe("a recorded Linux guest with caching mode", () => {
  it("gives a physical device the same addresses, and each range as a new build has it", async () => {
    const trace = toldEarlier(await readTrace(await readFile(RECORDING)));
    const host = createMemory({ regions: [{ base: 0, size: 2 ** 26 }] });
    const physical = createPhysicalUnit({
      name: "host",
      memory: host,
      frames: new FrameAllocator({ memory: host, firstFrame: 0x100, frames: 0x3f00 }),
      ...createProfile({}),
      sink: { deliver: () => undefined },
    });
    const p2m = new P2m();
    p2m.map(0, OFFSET, 2 ** 20, "ram");
    const hooks = createHookTable();
    const { cap, ecap, ver } = trace.header.unit;
    let invalidations = 0;
    let pages = 0;
    let requests = 0;
    replayTrace(trace, {
      createUnit: (header, memory, sink) => {
        const unit = createUnit({
          name: "guest",
          base: Number(header.unit.base),
          profile: profileFromRegisters({ cap, ecap, ver, hostAddressWidth: 48 }),
          memory,
          sink,
          hooks,
        });
        const guest = createGuestIommu({ name: "guest", physical, memory, p2m, units: [unit] });
        let root = 0n;
        hooks.modeChange = (name, mode) => {
          guest.hooks.modeChange(name, mode);
          root = BigInt(mode.rootTable[0] >>> 0) & ~0xfffn;
        };
        hooks.invalidate = (name, what) => {
          guest.hooks.invalidate(name, what);
          if (what.kind !== "iotlb" || what.granularity !== "page") return;
          expect(guest.pending).toBe(false);
          const first = what.hi * 2 ** 18 + (what.lo >>> 12);
          for (const { sid } of header.devices) {
            const space = physical.attached(sid, NO_PASID);
            const context = read64(memory, root + BigInt(16 * (sid >>> 8)));
            if (space.kind !== "paging" || space === guest.main || (context & 1n) === 0n) continue;
            const entry = (context & ~0xfffn) + BigInt(16 * (sid & 0xff));
            const high = read64(memory, entry + 8n);
            if (Number((high >> 8n) & 0xffffn) !== what.domainId) continue;
            invalidations += 1;
            const table = read64(memory, entry) & ~0xfffn;
            const levels = Number(high & 7n) + 2;
            const found = { mfn: 0, order: 0, flags: 0 };
            for (let dfn = first; dfn < first + Math.min(2 ** what.order, 4096); dfn++) {
              const wanted = walk(memory, table, dfn, levels);
              const isThere = (space as PagingSpace).lookup(dfn, found);
              expect(isThere ? found.mfn - OFFSET : -1).toBe(wanted);
              pages += 1;
            }
          }
        };
        for (const { sid } of header.devices) {
          guest.assign({ sourceId: sid, virtualSourceId: sid, unit });
        }
        return unit;
      },
      onProgress: (done) => {
        const event = trace.events[done - 1]!;
        if (event.kind !== "dma" || event.index !== 0) return;
        const { access, iova, result, sid } = event;
        const wanted = result.ok ? Number(result.gpa >> 12n) + OFFSET : -1;
        const found = reach(physical, sid, Number(iova >> 12n), access);
        expect(`${done}: ${found}`).toBe(`${done}: ${wanted}`);
        requests += 1;
      },
    });
    expect({ requests, invalidations, pages }).toEqual({
      requests: 3779,
      invalidations: 1396,
      pages: 8679,
    });
  });
});
