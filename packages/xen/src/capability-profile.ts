import { createProfile } from "@viommu/vtd";
import type { AddressWidth, Profile } from "@viommu/vtd";
import { ViommuCapability } from "./op-layout.ts";

const { L1_TRANSLATION, L2_TRANSLATION, INTERRUPT_REMAPPING, CACHING_MODE, POSTED_INTERRUPTS } =
  ViommuCapability;

/** Everything that `create` can be asked for. */
export const ALL_CAPABILITIES: number =
  L1_TRANSLATION | L2_TRANSLATION | INTERRUPT_REMAPPING | CACHING_MODE | POSTED_INTERRUPTS;

/**
 * The unit that capability bits ask for, or null where they make none: nothing to do, caching mode
 * without translation, posting without remapping.
 *
 * Widths follow the guest: 39 and 48 bits always, 57 for a guest with wider addresses. A unit without
 * translation has SAGAW = 0.
 * @param addressWidth bits of guest-physical addresses, 32 to 52
 */
export function profileOf(capabilities: number, addressWidth: number): Profile | null {
  const has = (bit: number): boolean => (capabilities & bit) !== 0;
  const translates = has(L1_TRANSLATION | L2_TRANSLATION);
  if (!translates && (!has(INTERRUPT_REMAPPING) || has(CACHING_MODE))) return null;
  if (has(POSTED_INTERRUPTS) && !has(INTERRUPT_REMAPPING)) return null;
  const widths: readonly AddressWidth[] = addressWidth > 48 ? [39, 48, 57] : [39, 48];
  return createProfile({
    hostAddressWidth: addressWidth,
    addressWidths: has(L2_TRANSLATION) ? widths : [],
    passThrough: translates,
    interruptRemapping: has(INTERRUPT_REMAPPING),
    postedInterrupts: has(POSTED_INTERRUPTS),
    cachingMode: has(CACHING_MODE),
    ...(has(L1_TRANSLATION) && {
      scalableMode: true,
      secondStage: has(L2_TRANSLATION),
      fiveLevelFirstStage: addressWidth > 48,
    }),
  });
}
