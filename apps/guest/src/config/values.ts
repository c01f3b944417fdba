import * as v from "valibot";

const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };
const SIZE = /^([0-9]+) ?([KMGT])(?:i?B)?$/;
const BUS_ADDRESS = /^(?:([0-9a-f]{4}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$/i;
const BUSES = /^([0-9a-f]{2})-([0-9a-f]{2})$/i;
const RANGE = /^([0-9]+)-([0-9]+)$/;

/** A place on a bus: requester id and segment. */
export interface BusAddress {
  readonly segment: number;
  /** Bus (15:8), device (7:3), function (2:0). */
  readonly sourceId: number;
}

/** A run of whole numbers. */
export interface NumberRange {
  readonly first: number;
  readonly last: number;
}

/** A whole number in a range. */
export function whole(least: number, most: number) {
  const remedy = `is not possible; give a whole number from ${least} to ${most}`;
  return v.pipe(
    v.number(remedy),
    v.safeInteger(remedy),
    v.minValue(least, remedy),
    v.maxValue(most, remedy),
  );
}

/** A name that others refer to. */
export const name = v.pipe(
  v.string("is no name; give letters, digits, - and _"),
  v.regex(/^[A-Za-z][A-Za-z0-9_-]{0,31}$/, "is no name; give up to 32 letters, digits, - and _"),
);

/** Yes or no. */
export const flag = v.boolean("is no yes or no; give true or false");

/** Bytes: a number, or one with K, M, G or T behind it. */
export const bytes = v.pipe(
  v.union([v.number(), v.string()], "is no size; give bytes, or 512M, 4G"),
  v.check((size) => !Number.isNaN(bytesOf(size)), "is no size; give bytes, or 512M, 4G"),
  v.transform(bytesOf),
);

/** A guest-physical address. */
export const address = whole(0, 2 ** 52 - 1);

/** "00:02.0", or "0001:00:02.0" in segment 1, as lspci has it. */
export const busAddress = v.pipe(
  v.string('is no bus address; give one as "00:02.0", or "0001:00:02.0" in segment 1'),
  v.check(
    (text) => busAddressOf(text) !== null,
    'is no bus address; give one as "00:02.0", or "0001:00:02.0" in segment 1',
  ),
  v.transform((text): BusAddress => busAddressOf(text)!),
);

/** "01-03": the buses behind a bridge. */
export const buses = v.pipe(
  v.string('is no range of buses; give one as "01-03"'),
  v.regex(BUSES, 'is no range of buses; give one as "01-03"'),
  v.transform((text): NumberRange => {
    const [, first, last] = BUSES.exec(text)!;
    return { first: Number.parseInt(first!, 16), last: Number.parseInt(last!, 16) };
  }),
);

/** One number, or "0-143". */
export const numberRange = v.pipe(
  v.union([v.number(), v.string()], 'is no number; give one, or a range as "0-143"'),
  v.check((value) => rangeOf(value) !== null, 'is no range of numbers; give one as "0-143"'),
  v.transform((value): NumberRange => rangeOf(value)!),
);

/** "00:02.0"; with the segment in front where it is not 0. */
export function busAddressText({ segment, sourceId }: BusAddress): string {
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0");
  const place = `${hex(sourceId >> 8, 2)}:${hex((sourceId >> 3) & 31, 2)}.${sourceId & 7}`;
  return segment === 0 ? place : `${hex(segment, 4)}:${place}`;
}

function bytesOf(size: number | string): number {
  if (typeof size === "number") return Number.isSafeInteger(size) && size > 0 ? size : Number.NaN;
  const [, digits, unit] = SIZE.exec(size) ?? [];
  const value = unit === undefined ? Number.NaN : Number(digits) * UNITS[unit]!;
  return Number.isSafeInteger(value) && value > 0 ? value : Number.NaN;
}

function busAddressOf(text: string): BusAddress | null {
  const [, segment = "0", bus, device, fn] = BUS_ADDRESS.exec(text) ?? [];
  if (bus === undefined || Number.parseInt(device!, 16) > 31) return null;
  const sourceId =
    (Number.parseInt(bus, 16) << 8) | (Number.parseInt(device!, 16) << 3) | Number(fn);
  return { segment: Number.parseInt(segment, 16), sourceId };
}

function rangeOf(value: number | string): NumberRange | null {
  const [first, last] =
    typeof value === "number" ? [value, value] : (RANGE.exec(value)?.slice(1).map(Number) ?? []);
  if (first === undefined || last === undefined) return null;
  return Number.isSafeInteger(first) && first >= 0 && first <= last && Number.isSafeInteger(last)
    ? { first, last }
    : null;
}
