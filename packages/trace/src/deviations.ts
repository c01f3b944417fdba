import type { Deviation } from "./deviation.ts";
import { FIRST_STAGE_DEVIATIONS } from "./deviations-first-stage.ts";
import { RECORD_DEVIATIONS } from "./deviations-records.ts";
import { REGISTER_DEVIATIONS } from "./deviations-registers.ts";
import { REQUEST_DEVIATIONS } from "./deviations-requests.ts";
import { INTERRUPT_DEVIATIONS } from "./deviations-interrupts.ts";
import { SCALABLE_DEVIATIONS } from "./deviations-scalable.ts";
import { WALK_DEVIATIONS } from "./deviations-walks.ts";

/**
 * All that a replay accepts. A difference that no entry explains is a failure. Behaviours of the
 * reference that a unit shares, or that no comparison sees (invalidations complete within the write,
 * one fault event while others are pending), need no entry.
 */
export const DEVIATIONS: readonly Deviation[] = [
  ...INTERRUPT_DEVIATIONS,
  ...REQUEST_DEVIATIONS,
  ...WALK_DEVIATIONS,
  ...FIRST_STAGE_DEVIATIONS,
  ...SCALABLE_DEVIATIONS,
  ...RECORD_DEVIATIONS,
  ...REGISTER_DEVIATIONS,
];

/** Names of the deviations that explain a difference in full; undefined when something is left. */
export function explainBits(
  difference: bigint,
  bitsOf: (deviation: Deviation) => bigint,
): string[] | undefined {
  const names: string[] = [];
  let rest = difference;
  for (const deviation of DEVIATIONS) {
    const explained = bitsOf(deviation) & rest;
    if (explained === 0n) continue;
    names.push(deviation.name);
    rest &= ~explained;
  }
  return rest === 0n ? names : undefined;
}
