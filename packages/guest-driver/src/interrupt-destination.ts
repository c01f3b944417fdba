import { DeliveryMode } from "@viommu/vtd-spec";
import { badInterrupt, hex } from "./errors.ts";

/** How the local APICs of the guest are addressed. */
export interface ApicAddressing {
  /** x2APIC has 32-bit ids, xAPIC has 8 bits of them. */
  readonly apicMode: "xapic" | "x2apic";
  /**
   * Logical: in x2APIC mode the cluster id that each APIC has by itself, in xAPIC mode the flat model
   * of up to 8 APICs.
   */
  readonly destinationMode: "physical" | "logical";
}

/** Where an interrupt goes. */
export interface InterruptTarget {
  readonly apicId: number;
  /** 0–255 */
  readonly vector: number;
  /** One of `DeliveryMode` of vtd-spec; fixed unless given. */
  readonly deliveryMode?: number;
}

const DELIVERY_MODES: readonly number[] = Object.values(DeliveryMode);
const XAPIC_IDS = 0xff; // the last one is a broadcast
const FLAT_IDS = 8;
/** APICs with larger ids have no logical id (SDM 3A 11.12.10.2: 16 bits of cluster). */
const CLUSTERED_IDS = 2 ** 20;

/** DST and DM of a message for one APIC. Throws ERR_VIOMMU_DRIVER_INTERRUPT. */
export function destinationOf(
  { apicMode, destinationMode }: ApicAddressing,
  { apicId, vector, deliveryMode = DeliveryMode.FIXED }: InterruptTarget,
): { DST: number; DM: number } {
  if (!DELIVERY_MODES.includes(deliveryMode)) {
    throw badInterrupt(`delivery mode ${deliveryMode} is reserved`, "give one of DeliveryMode");
  }
  if (!Number.isInteger(vector) || vector < 0 || vector > 0xff) {
    throw badInterrupt(`vector ${vector} does not exist`, "give 0 to 255");
  }
  const logical = destinationMode === "logical";
  const ids =
    apicMode === "xapic" ? (logical ? FLAT_IDS : XAPIC_IDS) : logical ? CLUSTERED_IDS : 2 ** 32 - 1;
  if (!Number.isInteger(apicId) || apicId < 0 || apicId >= ids) {
    throw badInterrupt(
      `APIC id ${hex(apicId)} has no ${destinationMode} address in ${apicMode} mode`,
      apicMode === "xapic"
        ? "use x2APIC mode, which needs EIM in every unit"
        : "use the physical destination mode",
    );
  }
  if (!logical) return { DST: apicId, DM: 0 };
  if (apicMode === "xapic") return { DST: 1 << apicId, DM: 1 };
  return { DST: (((apicId >> 4) << 16) | (1 << (apicId & 15))) >>> 0, DM: 1 };
}
