/** Translations by hypercall: answers, batches with continuation, and hostile operations. */
import { Access, NO_PASID } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { Errno, OP_BYTES, SubOp, TRANSLATION_BYTES } from "../src/index.ts";
import { GuestTables, Reg } from "./guest-tables.ts";
import {
  addressOf,
  BASE,
  dmaRequest,
  DOM0,
  GUEST,
  L2_IR,
  MIB,
  readRegister,
  XenHost,
} from "./xen-host.ts";

const NIC = 0x0010;

function translating(budget = {}) {
  const host = new XenHost();
  const guest = host.guestWithUnit(L2_IR, { budget });
  const tables = new GuestTables(guest.unit, guest.memory).start();
  return { host, tables, ...guest };
}

describe("translate", () => {
  it("answers with address, mask and permission", () => {
    const { host, tables } = translating();
    tables.mapPage(NIC, 0x7000, 0x20_3000, Access.READ);
    tables.mapPage(NIC, 2 ** 30, 2 ** 33, Access.ATOMIC, 30);
    tables.mapPage(NIC, 0x60_0000, 0x80_0000, Access.WRITE, 21);
    const read = dmaRequest(NIC, 0x7123, Access.READ);
    expect(host.client.translate(GUEST, 0, read)).toEqual({ error: 0, status: 0 });
    expect([addressOf(read), read.pageShift, read.granted & 3]).toEqual([0x20_3123, 12, 1]);

    // the bytes: GPA, mask, permission
    const bytes = new Uint8Array(24);
    host.control.memory.readBytes(0, 8 * MIB + 16 + 24, bytes);
    expect([...bytes]).toEqual([
      ...[0x23, 0x31, 0x20, 0, 0, 0, 0, 0],
      ...[0xff, 0x0f, 0, 0, 0, 0, 0, 0],
      ...[1, 0, 0, 0, 0, 0, 0, 0],
    ]);

    const huge = dmaRequest(NIC, 2 ** 30 + 0x345_6789, Access.WRITE);
    host.client.translate(GUEST, 0, huge);
    expect([addressOf(huge), huge.pageShift, huge.granted & 3]).toEqual([
      2 ** 33 + 0x345_6789,
      30,
      3,
    ]);
    const large = dmaRequest(NIC, 0x7f_ffff, Access.WRITE);
    host.client.translate(GUEST, 0, large);
    expect([addressOf(large), large.pageShift, large.granted & 3]).toEqual([0x9f_ffff, 21, 2]);
  });

  it("a blocked request is an answer: the reason, permission NONE, and a record in the fault log", () => {
    const { host, tables, unit, domain } = translating();
    tables.mapPage(NIC, 0x7000, 0x20_3000, Access.READ);
    const write = dmaRequest(NIC, 0x7000, Access.WRITE);
    expect(host.client.translate(GUEST, 0, write)).toEqual({ error: 0, status: 5 });
    expect(readRegister(unit, Reg.FRCD + 12)).toBe(0x8000_0005);
    expect(readRegister(unit, Reg.FRCD + 8)).toBe(NIC);
    expect(domain.counters).toMatchObject({ translations: 1, faults: 1 });
  });

  it("a probe records and counts nothing", () => {
    const { host, unit, domain } = translating();
    const probe = dmaRequest(NIC, 0x7000, Access.WRITE);
    expect(host.client.translate(GUEST, 0, probe, true).status).toBeGreaterThan(0);
    expect(readRegister(unit, Reg.FSTS)).toBe(0);
    expect(domain.counters).toMatchObject({ translations: 0, faults: 0 });
  });

  it("a device above which no vIOMMU is: ENOENT", () => {
    const { host } = translating();
    const request = dmaRequest(NIC, 0x7000, Access.WRITE);
    expect(host.client.translate(GUEST, 1, request).error).toBe(-Errno.ENOENT);
  });

  it("fields that no request can have: EINVAL, and nothing is recorded", () => {
    const { host, unit } = translating();
    for (const wrong of [{ pasid: 0x10_0000 }, { access: 16 }, { addressType: 4 }]) {
      const request = Object.assign(dmaRequest(NIC, 0x7000, Access.WRITE), wrong);
      expect(host.client.translate(GUEST, 0, request).error).toBe(-Errno.EINVAL);
    }
    expect(NO_PASID).toBe(-1);
    expect(readRegister(unit, Reg.FSTS)).toBe(0);
  });
});

describe("translate in a batch", () => {
  it("answers a list, as many per call as the budget has, and goes on after -ERESTART", () => {
    const { host, tables, domain } = translating({ translationsPerCall: 16 });
    for (let page = 0; page < 100; page += 1) {
      if (page !== 50) tables.mapPage(NIC, page * 4096, 0x40_0000 + page * 8192);
    }
    const requests = Array.from({ length: 100 }, (_, i) => dmaRequest(NIC, i * 4096 + i, 1));
    const statuses = new Int32Array(100);
    const before = host.client.hypercalls;
    expect(host.client.translateBatch(GUEST, 0, requests, statuses)).toBe(0);
    expect(host.client.hypercalls - before).toBe(7);
    expect(domain.counters).toMatchObject({ callContinuations: 6, translations: 100 });
    expect([...statuses]).toEqual(requests.map((_, i) => (i === 50 ? 6 : 0)));
    requests.forEach((request, i) => {
      if (i !== 50) expect(addressOf(request)).toBe(0x40_0000 + i * 8192 + i);
    });
  });

  it("holds in the operation where to go on", () => {
    const { host, tables } = translating({ translationsPerCall: 2 });
    tables.mapPage(NIC, 0, 0x40_0000);
    const { memory } = host.control;
    const [op, list] = [9 * MIB, 9 * MIB + 4096];
    const words = (at: number, ...values: number[]): void => {
      memory.writeBytes(0, at, new Uint8Array(Int32Array.from(values).buffer));
    };
    for (let i = 0; i < 5; i += 1) {
      const at = list + i * TRANSLATION_BYTES;
      words(at, NIC << 24, Access.READ, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    }
    words(op, SubOp.TRANSLATE_BATCH, GUEST, 0, 0, list, 0, 5, 0);
    const done = (): number => memory.read32(op + 28);
    const calls = [1, 2, 3, 4].map(() => [host.registry.viommuOp(DOM0, 0, op), done()]);
    expect(calls).toEqual([
      [-Errno.ERESTART, 2],
      [-Errno.ERESTART, 4],
      [0, 5],
      [0, 5],
    ]);
  });

  it("an entry that is wrong ends the call; `done` names it, those before are answered", () => {
    const { host, tables } = translating();
    tables.mapPage(NIC, 0, 0x40_0000);
    const { memory } = host.control;
    const op = 9 * MIB;
    // the list runs out of memory behind its second entry
    const list = 16 * MIB - 2 * TRANSLATION_BYTES;
    for (const at of [list, list + TRANSLATION_BYTES]) {
      const entry = Int32Array.of(NIC << 24, Access.READ, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
      memory.writeBytes(0, at, new Uint8Array(entry.buffer));
    }
    const batch = Int32Array.of(SubOp.TRANSLATE_BATCH, GUEST, 0, 0, list, 0, -1, 0);
    memory.writeBytes(0, op, new Uint8Array(batch.buffer));
    expect(host.registry.viommuOp(DOM0, 0, op)).toBe(-Errno.EFAULT);
    expect(memory.read32(op + 28)).toBe(2);
    expect(memory.read32(list + TRANSLATION_BYTES + 24)).toBe(0x40_0000);
  });

  it("refuses to go on behind its end", () => {
    const { host } = translating();
    const batch = Int32Array.of(SubOp.TRANSLATE_BATCH, GUEST, 0, 0, 0, 0, 3, 4);
    host.control.memory.writeBytes(0, 9 * MIB, new Uint8Array(batch.buffer));
    expect(host.registry.viommuOp(DOM0, 0, 9 * MIB)).toBe(-Errno.EINVAL);
  });
});

describe("hostile operations", () => {
  it("pointers to no memory, or to memory that can't be written: EFAULT, nothing was done", () => {
    const { host, unit } = translating();
    const rom = 0x4000_0000 - 4096;
    for (const [hi, lo] of [
      [0, 16 * MIB],
      [0, 16 * MIB - OP_BYTES + 1],
      [0, rom],
      [-1, 0],
      [0x2000_0000, 0],
      [0x3fff_ffff, 0x3fff_ffff],
    ] as const)
      expect(host.registry.viommuOp(DOM0, hi, lo)).toBe(-Errno.EFAULT);
    expect(readRegister(unit, Reg.FSTS)).toBe(0);
  });

  it("100,000 random operations: an errno or 0, no exception, and units only by create", () => {
    const { host, units } = translating({ translationsPerCall: 4 });
    const { memory } = host.control;
    let state = Number(process.env.VIOMMU_SEED ?? 20_161_019) | 0;
    const random = (below: number): number => {
      state = (Math.imul(state, 0x41c6_4e6d) + 12_345) | 0;
      return Math.floor(((state >>> 1) / 2 ** 31) * below);
    };
    const known = new Set<number>([0, ...Object.values(Errno).map((errno) => -errno)]);
    const op = new Int32Array(OP_BYTES / 4);
    const seen = new Set<number>();
    for (let i = 0; i < 100_000; i += 1) {
      for (let word = 0; word < op.length; word += 1) {
        const kind = random(6);
        op[word] = kind < 3 ? 0 : kind < 5 ? random(16) << (random(4) * 8) : random(2 ** 32) | 0;
      }
      op[0] = random(8);
      if (random(4) > 0) op[1] = GUEST;
      if (random(2) > 0) op[3] = 0;
      if (op[0] === SubOp.CREATE && random(2) > 0) {
        op.set([1, 0, BASE + 4096 * random(20), 0, random(32), 0, 0, 0], 4);
        op.fill(0, 12);
      }
      if (op[0] === SubOp.DESTROY && random(2) > 0) op.fill(0, 4);
      const lo = random(50) === 0 ? random(2 ** 30) : 9 * MIB + random(4096);
      memory.writeBytes(0, 9 * MIB, new Uint8Array(16384));
      memory.writeBytes(0, lo, new Uint8Array(op.buffer));
      const count = units.length;
      const result = host.registry.viommuOp(DOM0, 0, lo);
      seen.add(result);
      if (!known.has(result)) throw new Error(`VIOMMU_SEED, operation ${i}: ${result}`);
      if (result !== 0) expect(units.length).toBe(count);
      expect(units.length).toBeLessThanOrEqual(8);
    }
    const { E2BIG, ERESTART, ENOMEM, ...all } = Errno;
    expect([...seen].sort((a, b) => a - b)).toEqual(
      expect.arrayContaining(
        [0, ...Object.values(all).map((errno) => -errno)].filter((e) => e !== -Errno.EPERM),
      ),
    );
    expect([E2BIG, ERESTART, ENOMEM]).toEqual([7, 85, 12]);
  });
});
