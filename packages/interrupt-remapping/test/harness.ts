import { createMemory } from "@viommu/memory";
import type { ChunkedMemory } from "@viommu/memory";
import { createHookTable, hiFromNumber, InterruptRequest, loFromNumber } from "@viommu/plugin";
import type { GuestMemory, HookTable } from "@viommu/plugin";
import { decodeCapabilities } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { InterruptRemappingEngine } from "@viommu/interrupt-remapping";

/** Where the tests have their table. */
export const TABLE = 0x10_0000;

/** Requester of the tests: bus 0, device 2, function 0. */
export const SOURCE = 0x0010;

/** IRTE of Linux for x2APIC: vector 31h, APIC id 5, RH 1, SVT 1, SID 0x0010. */
export const X2APIC_ENTRY = [0x0000000500310009n, 0x0000000000040010n] as const;

interface Blocked {
  readonly reason: number;
  readonly index: number;
  readonly suppressed: boolean;
}

interface HarnessOptions {
  readonly capabilities?: Partial<Capabilities>;
  readonly hostAddressWidth?: number;
  readonly memory?: GuestMemory;
}

/** An engine that remaps with a table of 256 entries, and everything it reports. */
export function createHarness(options: HarnessOptions = {}) {
  const memory = createMemory({ regions: [{ base: 0, size: 0x40_0000 }] });
  const blocked: Blocked[] = [];
  const delivered: string[] = [];
  const hooks: HookTable = createHookTable();
  const engine = new InterruptRemappingEngine({
    memory: options.memory ?? memory,
    capabilities: { ...decodeCapabilities(0n, 0n), IR: 1, EIM: 1, ...options.capabilities },
    hostAddressWidth: options.hostAddressWidth ?? 46,
    segment: 0,
    reporter: {
      interruptFault(reason, { suppressed }, index) {
        blocked.push({ reason, index, suppressed });
      },
    },
    hooks,
    unit: "unit0",
    sink: {
      deliver(upper, address, data) {
        delivered.push(hex(upper, address, data));
      },
    },
  });
  const request = new InterruptRequest();
  const latch = (eime: boolean, base = TABLE, sizeLog2 = 8): void => {
    engine.latchTable(hiFromNumber(base), loFromNumber(base), sizeLog2, eime);
  };
  engine.setEnabled(true);
  latch(true);
  return {
    engine,
    memory,
    request,
    hooks,
    blocked,
    delivered,
    latch,
    /** Writes an entry of the table. */
    entry: (index: number, words: readonly [bigint, bigint]): void => {
      writeEntry(memory, TABLE, index, words);
    },
    /** Sends a dword; the answer as a reason, or the message in hex: upper, address, data. */
    send: (address: number, data = 0, sourceId = SOURCE): number | string => {
      Object.assign(request, { sourceId, address, upper: 0, data });
      const result = engine.remap(request);
      if (result !== 0) return result;
      return hex(request.messageUpper, request.messageAddress, request.messageData);
    },
  };
}

export function writeEntry(
  memory: ChunkedMemory,
  base: number,
  index: number,
  [low, high]: readonly [bigint, bigint],
): void {
  memory.write64(base + index * 16, low);
  memory.write64(base + index * 16 + 8, high);
}

/** Address of a request in remappable format with SHV 0. */
export function remappable(index: number): number {
  return (0xfee00010 | ((index & 0x7fff) << 5) | ((index >>> 15) << 2)) >>> 0;
}

function hex(...words: number[]): string {
  return words.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join(" ");
}
