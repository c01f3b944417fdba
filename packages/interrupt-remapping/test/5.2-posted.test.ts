import { describe, expect, it } from "vitest";
import { createMemory } from "@viommu/memory";
import { InterruptResult } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { createHarness, TABLE, X2APIC_ENTRY } from "./harness.ts";

const ADDRESS = 0xfee00258; // index 12h
const INDEX = 0x12;
const PID = 0x20_0040;
const CONTROL = PID + 32;
const CONSUMED = InterruptResult.CONSUMED;

/** Posted, vector 31h, SVT 1, SID 0x0010, descriptor at PID. */
const POSTED = [0x0020004000318001n, 0x40010n] as const;
const URGENT = [0x002000400031c001n, 0x40010n] as const;

/** SN 0, ON 0, NV f2h, NDST 12345h. */
const READY = 0x0001234500f20000n;
const ON = 1n;
const SN = 2n;
const NOTIFIED = "00012300 fee45000 000040f2";

function createPosting(control: bigint, entry: readonly [bigint, bigint] = POSTED) {
  const harness = createHarness({ capabilities: { PI: 1 } });
  harness.entry(INDEX, entry);
  harness.memory.write64(CONTROL, control);
  return harness;
}

describe("VT-d 5.2.3: posting", () => {
  it("sets PIR and ON and notifies: fixed, physical, edge, level asserted", () => {
    const { memory, send, delivered, blocked } = createPosting(READY);
    expect(send(ADDRESS)).toBe(CONSUMED);
    expect(memory.read64(PID)).toBe(1n << 0x31n);
    expect(memory.read64(CONTROL)).toBe(READY | ON);
    expect(delivered).toEqual([NOTIFIED]);
    expect(blocked).toEqual([]);
  });

  it.each([
    ["ON 1", READY | ON, POSTED],
    ["ON 1 and urgent", READY | ON, URGENT],
    ["SN 1", READY | SN, POSTED],
    ["SN 1 and ON 1 and urgent", READY | SN | ON, URGENT],
  ])("does not notify with %s", (_, control, entry) => {
    const { memory, send, delivered } = createPosting(control, entry);
    expect(send(ADDRESS)).toBe(CONSUMED);
    expect(memory.read64(PID)).toBe(1n << 0x31n);
    expect(memory.read64(CONTROL)).toBe(control);
    expect(delivered).toEqual([]);
  });

  it("notifies of an urgent interrupt in spite of SN", () => {
    const { memory, send, delivered } = createPosting(READY | SN, URGENT);
    expect(send(ADDRESS)).toBe(CONSUMED);
    expect(memory.read64(CONTROL)).toBe(READY | SN | ON);
    expect(delivered).toEqual([NOTIFIED]);
  });

  it("keeps the requests that wait already, and reaches every vector", () => {
    const { entry, memory, send, delivered } = createPosting(READY);
    for (let vector = 0; vector < 256; vector += 1) {
      const bits = BigInt(vector) << 16n;
      entry(INDEX, [(POSTED[0] & ~0xff0000n) | bits, POSTED[1]]);
      expect(send(ADDRESS)).toBe(CONSUMED);
      const word = memory.read32(PID + (vector >>> 5) * 4);
      expect(word).toBe(2 ** ((vector & 31) + 1) - 1);
    }
    expect(delivered.length).toBe(1); // ON stays 1 until the processor clears it
  });

  it("sends to the 8-bit APIC id in NDST 15:8 with EIME 0", () => {
    const { latch, send, delivered } = createPosting(0x0000070000f20000n);
    latch(false);
    expect(send(ADDRESS)).toBe(CONSUMED);
    expect(delivered).toEqual(["00000000 fee07000 000040f2"]);
  });

  it("takes the descriptor from PDA 63:32 and 31:6", () => {
    const high = 0x1_2345_6780;
    const memory = createMemory({
      regions: [
        { base: TABLE, size: 0x1000 },
        { base: high - 0x780, size: 0x1000 },
      ],
    });
    const { send } = createHarness({ capabilities: { PI: 1 }, memory });
    // The entry of vtd-structures: descriptor 1_2345_6780h, vector 31h.
    memory.write64(TABLE + INDEX * 16, 0x2345678000318001n);
    memory.write64(TABLE + INDEX * 16 + 8, 0x0000000100040010n);
    expect(send(ADDRESS)).toBe(CONSUMED);
    expect(memory.read64(high)).toBe(1n << 0x31n);
  });

  it("is not answered with a delivery, so delivery observers hear nothing", () => {
    const { hooks, send } = createPosting(READY);
    let heard = 0;
    hooks.interruptDelivery = () => {
      heard += 1;
    };
    send(ADDRESS);
    expect(heard).toBe(0);
  });
});

describe("VT-d 9.10: an entry in posted format", () => {
  it.each([
    ["bit 2", POSTED[0] | 4n, POSTED[1]],
    ["bit 7", POSTED[0] | 0x80n, POSTED[1]],
    ["bit 12", POSTED[0] | (1n << 12n), POSTED[1]],
    ["bit 24", POSTED[0] | (1n << 24n), POSTED[1]],
    ["bit 37", POSTED[0] | (1n << 37n), POSTED[1]],
    ["bit 84", POSTED[0], POSTED[1] | (1n << 20n)],
    ["bit 95", POSTED[0], POSTED[1] | (1n << 31n)],
    ["an address above the host address width", POSTED[0], POSTED[1] | (1n << 46n)],
    ["SVT 3", POSTED[0], 0xc0010n],
  ])("with %s is reserved (24h), qualified by FPD", (_, low, high) => {
    const { entry, send, blocked, memory } = createPosting(READY, [low, high]);
    expect(send(ADDRESS)).toBe(FaultReason.IRTE_RESERVED);
    entry(INDEX, [low | 2n, high]);
    expect(send(ADDRESS)).toBe(0x24);
    expect(blocked.map(({ suppressed }) => suppressed)).toEqual([false, true]);
    expect(memory.read64(PID)).toBe(0n);
  });

  it("is remapped as ever when IM is 0", () => {
    const { send } = createPosting(READY, X2APIC_ENTRY);
    expect(send(ADDRESS)).toBe("00000000 fee05008 00004031");
  });

  it("of another requester is blocked before anything is posted", () => {
    const { send, memory } = createPosting(READY);
    expect(send(ADDRESS, 0, 0x18)).toBe(FaultReason.IR_SOURCE_ID);
    expect(memory.read64(PID)).toBe(0n);
  });
});

describe("VT-d 9.11: the descriptor", () => {
  it.each([258, 271, 280, 287, 320, 511])("with bit %i is reserved (28h)", (bit) => {
    const { entry, memory, send, blocked, delivered } = createPosting(READY);
    const at = PID + (bit >>> 5) * 4;
    memory.write32(at, (memory.read32(at) | (1 << (bit & 31))) >>> 0);
    expect(send(ADDRESS)).toBe(FaultReason.PID_RESERVED);
    entry(INDEX, [POSTED[0] | 2n, POSTED[1]]);
    expect(send(ADDRESS)).toBe(0x28);
    expect(blocked).toEqual([
      { reason: 0x28, index: INDEX, suppressed: false },
      { reason: 0x28, index: INDEX, suppressed: true },
    ]);
    expect([memory.read64(PID), delivered]).toEqual([0n, []]);
  });

  it.each([288, 295, 304, 319])("with NDST bit %i is reserved (28h) with EIME 0", (bit) => {
    const control = 0x0000070000f20000n | (1n << BigInt(bit - 256));
    const { latch, send } = createPosting(control);
    expect(send(ADDRESS)).toBe(CONSUMED);
    latch(false);
    expect(send(ADDRESS)).toBe(0x28);
  });

  it("in a hole or in read-only memory gives 27h, qualified by FPD", () => {
    const memory = createMemory({
      regions: [
        { base: TABLE, size: 0x1000 },
        { base: PID - 0x40, size: 0x1000, readOnly: true },
      ],
    });
    const { send, engine, request, blocked } = createHarness({ capabilities: { PI: 1 }, memory });
    memory.write64(TABLE + INDEX * 16, POSTED[0]);
    memory.write64(TABLE + INDEX * 16 + 8, POSTED[1]);
    expect(send(ADDRESS)).toBe(FaultReason.PID_ACCESS);
    expect(engine.probe(request)).toBe(0x27);
    memory.write64(TABLE + INDEX * 16, 0x0030004000318003n);
    expect(send(ADDRESS)).toBe(0x27);
    expect(blocked).toEqual([
      { reason: 0x27, index: INDEX, suppressed: false },
      { reason: 0x27, index: INDEX, suppressed: true },
    ]);
  });
});

describe("VT-d 5.2.4: a descriptor that a CPU in another thread uses meanwhile", () => {
  function createShared() {
    const buffer = new SharedArrayBuffer(0x20_0000);
    const memory = createMemory({ regions: [{ base: TABLE, size: 0x20_0000, buffer }] });
    const harness = createHarness({ capabilities: { PI: 1 }, memory });
    memory.write64(TABLE + INDEX * 16, POSTED[0]);
    memory.write64(TABLE + INDEX * 16 + 8, POSTED[1]);
    memory.write64(CONTROL, READY);
    const exchange = memory.exchangeWord.bind(memory);
    /** Lets the other CPU act before each exchange. */
    const meanwhile = (act: (address: number) => void) => {
      memory.exchangeWord = (hi, lo, expected, value) => {
        act(lo);
        return exchange(hi, lo, expected, value);
      };
    };
    return { ...harness, memory, meanwhile };
  }

  it("loses neither the other's request nor its own", () => {
    const { memory, meanwhile, send, delivered } = createShared();
    let acts = 0;
    meanwhile((address) => {
      if (address === PID + 4 && acts < 3) memory.write32(PID + 4, 2 ** (28 + acts));
      acts += 1;
    });
    expect(send(ADDRESS)).toBe(CONSUMED);
    expect(memory.read32(PID + 4)).toBe(2 ** 30 + 2 ** 17);
    expect(delivered).toEqual([NOTIFIED]);
  });

  it("is notified where it moves to, and not when it suppresses", () => {
    const moved = createShared();
    let acts = 0;
    moved.meanwhile((address) => {
      if (address !== CONTROL || acts > 0) return;
      acts += 1;
      moved.memory.write64(CONTROL, 0x0000000900f30000n);
    });
    expect(moved.send(ADDRESS)).toBe(CONSUMED);
    expect(moved.delivered).toEqual(["00000000 fee09000 000040f3"]);

    const suppressing = createShared();
    suppressing.meanwhile((address) => {
      if (address === CONTROL) suppressing.memory.write64(CONTROL, READY | SN);
    });
    expect(suppressing.send(ADDRESS)).toBe(CONSUMED);
    expect(suppressing.delivered).toEqual([]);
    expect(suppressing.memory.read64(CONTROL)).toBe(READY | SN);
  });

  it("that changes its words for ever ends in a fault, not in a loop", () => {
    for (const word of [PID + 4, CONTROL]) {
      const { memory, meanwhile, send } = createShared();
      let acts = 0;
      meanwhile((address) => {
        acts += 1;
        if (address === word) memory.write32(word, word === CONTROL ? (acts & 0xff) << 16 : acts);
      });
      expect(send(ADDRESS)).toBe(FaultReason.PID_ACCESS);
    }
  });
});
