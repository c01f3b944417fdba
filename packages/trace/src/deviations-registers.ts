import { Offset } from "@viommu/vtd-spec";
import type { Deviation } from "./deviation.ts";
import type { ReplayContext } from "./replay-context.ts";
import { readRegister } from "./replay-unit.ts";

/** Named also where writes of a queue come later than the unit would do them. */
export const QUEUE_ERROR = "queue-error-record-absent";

const UPPER_HALF = 0xffff_ffffn << 32n;

/** Offsets of the upper address registers of the unit's own messages. */
const UPPER_ADDRESSES = [Offset.FEUADDR, Offset.IEUADDR];

const upperMessageAddressIgnored: Deviation = {
  name: "upper-message-address-ignored",
  why: "VT-d 11.4.7.5 and 11.4.9.8: FEUADDR and IEUADDR are writable when ECAP.EIM = 1; in the reference they are read-only zero, and its own messages reach 8-bit APIC ids only",
  registerBits: (offset, expected, actual, context) => {
    const upper = UPPER_ADDRESSES.find((candidate) => candidate - 4 === offset);
    if (upper === undefined || expected >> 32n !== 0n || context.capabilities.EIM === 0) return 0n;
    return actual >> 32n === context.upperAddress(upper) ? UPPER_HALF : 0n;
  },
  messageBits: (expected, actual, context) => {
    if (expected.address >> 32n !== 0n || context.capabilities.EIM === 0) return 0n;
    const written = UPPER_ADDRESSES.map((offset) => context.upperAddress(offset));
    return written.includes(actual.address >> 32n) ? UPPER_HALF : 0n;
  },
};

/** The fields of CCMD and IOTLB that a command asks with and is answered in. */
function granularityFields(
  offset: number,
  context: ReplayContext,
): { requested: bigint; actual: bigint } | undefined {
  if (offset === Offset.CCMD) return { requested: 61n, actual: 59n };
  const iotlb = 16 * context.capabilities.IRO + 8;
  return offset === iotlb ? { requested: 60n, actual: 57n } : undefined;
}

const granularityAsRequested: Deviation = {
  name: "granularity-as-requested",
  why: "VT-d 11.4.6.1 and 11.4.6.3: a unit may invalidate more than it was asked to, and says so in CAIG and IAIG; the reference chooses otherwise",
  registerBits: (offset, expected, actual, context) => {
    const fields = granularityFields(offset, context);
    if (fields === undefined) return 0n;
    // 1 is global, larger numbers are finer; 0 means that nothing was done.
    const legal = (value: bigint): boolean => {
      const done = (value >> fields.actual) & 3n;
      return done !== 0n && done <= ((value >> fields.requested) & 3n);
    };
    return legal(expected) && legal(actual) ? 3n << fields.actual : 0n;
  },
};

const QWORD = 0xffff_ffff_ffff_ffffn;
const QUEUE_BASE = QWORD & ~0xfffn;

const queueErrorRecordAbsent: Deviation = {
  name: QUEUE_ERROR,
  why: "VT-d 11.4.9.9 and 6.5.2.11: IQERCD tells an error of the invalidation queue, and fetching goes on once IQE is clear; in the reference IQERCD is 0, and the queue goes on when the tail is written",
  registerBits: (offset, expected, actual, { unit, heldQueue }) => {
    if (offset === Offset.IQERCD && expected === 0n) return QWORD;
    const isHeld = offset === Offset.IQT && heldQueue.tail === expected;
    return isHeld && actual === readRegister(unit, Offset.IQH, 8) ? QWORD : 0n;
  },
};

const queueAddressLatched: Deviation = {
  name: "queue-address-latched",
  why: "VT-d 11.4.9.3: IQA reads as software has written it; in the reference its base is that of the queue which was enabled last, 0 before",
  registerBits: (offset, expected, _, { queueAddress }) =>
    offset === Offset.IQA && (expected & QUEUE_BASE) === queueAddress ? QUEUE_BASE : 0n,
};

/** CFI of GCMD, CFIS in the 8 bytes of GCMD and GSTS. */
const CFI = 1n << 23n;
const CFIS = CFI << 32n;

const commandBitsIgnored: Deviation = {
  name: "gcmd-ignored-bits",
  why: "VT-d 11.4.4: CFI lets compatibility-format interrupts pass and shows in GSTS as CFIS; in the reference it has no effect",
  registerBits: (offset, expected, actual, { command }) =>
    offset === Offset.GCMD && (command & CFI) !== 0n && (actual & ~expected & CFIS) !== 0n
      ? CFIS
      : 0n,
};

/** Deviations in registers and in the unit's own messages. */
export const REGISTER_DEVIATIONS: readonly Deviation[] = [
  upperMessageAddressIgnored,
  granularityAsRequested,
  queueErrorRecordAbsent,
  queueAddressLatched,
  commandBitsIgnored,
];
