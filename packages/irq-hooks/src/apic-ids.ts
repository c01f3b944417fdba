import { ViommuError } from "@viommu/plugin";

const MAX_VCPUS = 2 ** 20;
/** FFFF_FFFFh is the broadcast. */
const MAX_ID = 0xffff_fffe;

/** The APIC id of each vCPU as a signed 32-bit int: those given, or the vCPUs' numbers. */
export function apicIdsOf(vcpus: number, given: ArrayLike<number> | undefined): Int32Array {
  if (!(Number.isInteger(vcpus) && vcpus >= 1 && vcpus <= MAX_VCPUS)) {
    throw new ViommuError(
      "ERR_VIOMMU_VCPUS",
      `a machine cannot have ${vcpus} vCPUs; give a whole number from 1 to ${MAX_VCPUS}`,
    );
  }
  if (given === undefined) return Int32Array.from({ length: vcpus }, (_, vcpu) => vcpu);
  if (given.length !== vcpus) {
    throw new ViommuError(
      "ERR_VIOMMU_APIC_ID",
      `${given.length} APIC ids were given for ${vcpus} vCPUs; give one for each`,
    );
  }
  const seen = new Set<number>();
  return Int32Array.from(given, (id, vcpu) => {
    if (!(Number.isInteger(id) && id >= 0 && id <= MAX_ID) || seen.has(id)) {
      throw new ViommuError(
        "ERR_VIOMMU_APIC_ID",
        `vCPU ${vcpu} cannot have the APIC id ${id}; give whole numbers up to ${MAX_ID}, all different`,
      );
    }
    seen.add(id);
    return id | 0;
  });
}

/** Tells machines with different APIC ids apart (FNV-1a). */
export function fingerprint(ids: Int32Array): string {
  const hash = ids.reduce((sum, id) => Math.imul(sum ^ id, 0x0100_0193), 0x811c_9dc5 | 0);
  return (hash >>> 0).toString(16).padStart(8, "0");
}
