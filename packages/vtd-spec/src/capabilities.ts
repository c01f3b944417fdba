import { decode, encode, fromQwords, toQwords } from "./codec.ts";
import type { Capabilities, CapabilityName } from "./layout.ts";
import { CAP, ECAP } from "./registers-capability.ts";

function namesOf(layout: typeof CAP | typeof ECAP): readonly CapabilityName[] {
  return layout.fields.flatMap((field) => ("kind" in field ? [] : [field.name]));
}

const CAP_NAMES = namesOf(CAP);
const ECAP_NAMES = namesOf(ECAP);

/** Raw field values of CAP and ECAP; reserved and deprecated bits are dropped. */
export function decodeCapabilities(cap: bigint, ecap: bigint): Capabilities {
  const values: Partial<Record<string, bigint>> = {
    ...decode(CAP, fromQwords([cap])),
    ...decode(ECAP, fromQwords([ecap])),
  };
  return Object.fromEntries(
    [...CAP_NAMES, ...ECAP_NAMES].map((name) => [name, Number(values[name])]),
  ) as Capabilities;
}

/**
 * CAP and ECAP with these values; absent capabilities are 0. Dependencies are not checked.
 * @throws RangeError on a value that does not fit its field.
 */
export function encodeCapabilities(capabilities: Partial<Capabilities>): {
  cap: bigint;
  ecap: bigint;
} {
  const pick = (names: readonly CapabilityName[]): Partial<Capabilities> =>
    Object.fromEntries(names.map((name) => [name, capabilities[name] ?? 0]));
  return {
    cap: toQwords(encode(CAP, pick(CAP_NAMES)))[0]!,
    ecap: toQwords(encode(ECAP, pick(ECAP_NAMES)))[0]!,
  };
}
