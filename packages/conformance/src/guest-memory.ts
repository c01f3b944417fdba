import { checksOf } from "./check.ts";
import type { Check } from "./check.ts";
import { byteRequirements } from "./guest-memory-bytes.ts";
import { viewRequirements } from "./guest-memory-views.ts";
import { walkRequirements } from "./guest-memory-walk.ts";
import { wordRequirements } from "./guest-memory-words.ts";
import { MemoryUnderTest } from "./memory-under-test.ts";
import type { GuestMemoryHarness } from "./memory-under-test.ts";

/**
 * Whether a memory is what devices and units rely on: every byte at its place, across all borders;
 * all of an access or nothing; the same bytes through words, bytes, views and chunks.
 */
export function guestMemoryConformance(make: () => GuestMemoryHarness): readonly Check[] {
  return checksOf(
    () => new MemoryUnderTest(make()),
    [...wordRequirements(), ...byteRequirements(), ...viewRequirements(), ...walkRequirements()],
  );
}
