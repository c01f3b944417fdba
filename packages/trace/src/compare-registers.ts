import { comparison } from "./comparison.ts";
import type { Comparison } from "./comparison.ts";
import { explainBits } from "./deviations.ts";
import type { MmioEvent, RegistersEvent } from "./format.ts";
import type { ReplayContext } from "./replay-context.ts";
import { readRegister } from "./replay-unit.ts";
import { hex, listText } from "./text.ts";

const QWORD = 0xffff_ffff_ffff_ffffn;

/** Compares a register that the guest read. */
export function compareRead(event: MmioEvent, context: ReplayContext): Comparison {
  const { offset, size, value: expected } = event;
  const actual = readRegister(context.unit, offset, size);
  return comparison(
    "mmioRead",
    expected === actual ? [] : explainRead(event, context),
    hex(expected),
    hex(actual),
  );
}

/** Names for the differing bits of one access; what was not read counts as equal. */
function explainRead(event: MmioEvent, context: ReplayContext): string[] | undefined {
  const { offset, size, value } = event;
  if (offset % size !== 0) return undefined;
  const group = offset - (offset % 8);
  const actual = readRegister(context.unit, group, 8);
  const shift = BigInt(8 * (offset - group));
  const read = (size === 8 ? QWORD : 0xffff_ffffn) << shift;
  const expected = (actual & ~read) | (value << shift);
  const other = readRegister(context.unit, group ^ 8, 8);
  return explainGroup(group, expected, actual, other, other, context);
}

/** Compares the whole register block; undefined groups of the trace are 0. */
export function compareBlock(event: RegistersEvent, context: ReplayContext): Comparison {
  const names = new Set<string>();
  const expectedTexts: string[] = [];
  const actualTexts: string[] = [];
  const expectedAt = (offset: number): bigint => event.values.get(offset) ?? 0n;
  const actualAt = (offset: number): bigint => readRegister(context.unit, offset, 8);
  const groups = Array.from({ length: context.unit.size / 8 }, (_, i) => 8 * i);
  for (const offset of new Set([...groups, ...event.values.keys()])) {
    const expected = expectedAt(offset);
    const actual = actualAt(offset);
    if (expected === actual) continue;
    const explained = explainGroup(
      offset,
      expected,
      actual,
      expectedAt(offset ^ 8),
      actualAt(offset ^ 8),
      context,
    );
    if (explained === undefined) {
      expectedTexts.push(`${hex(offset)}: ${hex(expected)}`);
      actualTexts.push(`${hex(offset)}: ${hex(actual)}`);
    } else {
      for (const name of explained) names.add(name);
    }
  }
  const same = expectedTexts.length === 0;
  return comparison(
    "registers",
    same ? [...names] : undefined,
    same ? "the register block" : listText(expectedTexts),
    same ? "the register block" : listText(actualTexts),
  );
}

/**
 * Names for the differing bits of 8 bytes of registers. In a fault recording register, the other 8
 * bytes of the record are needed to judge; both records are put together for that.
 */
function explainGroup(
  offset: number,
  expected: bigint,
  actual: bigint,
  expectedOther: bigint,
  actualOther: bigint,
  context: ReplayContext,
): string[] | undefined {
  const first = context.faultRecords;
  if (offset < first || offset >= first + 16 * context.faultRecordCount) {
    return explainBits(
      expected ^ actual,
      ({ registerBits }) => registerBits?.(offset, expected, actual, context) ?? 0n,
    );
  }
  const isHigh = (offset & 8) !== 0;
  const record = (group: bigint, other: bigint): bigint =>
    isHigh ? (group << 64n) | other : (other << 64n) | group;
  const want = record(expected, expectedOther);
  const have = record(actual, actualOther);
  const mask = isHigh ? QWORD << 64n : QWORD;
  return explainBits(
    (want ^ have) & mask,
    ({ recordBits }) => recordBits?.(want, have, context) ?? 0n,
  );
}
