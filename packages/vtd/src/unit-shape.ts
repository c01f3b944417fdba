import { decodeCapabilities } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import type { Profile } from "./profile.ts";

const SHAPE =
  /^ver=([0-9a-f]+) cap=([0-9a-f]{1,16}) ecap=([0-9a-f]{1,16}) haw=([0-9]+)(?: mtrrcap=([0-9a-f]+))?$/;

/**
 * What a unit's record fits: version, CAP, ECAP (hexadecimal) and host address width, and MTRRCAP
 * where there is one.
 */
export function shapeOf({ version, cap, ecap, hostAddressWidth, mtrrCap }: Profile): string {
  const hex = (value: number | bigint): string => value.toString(16);
  const shape = `ver=${hex(version)} cap=${hex(cap)} ecap=${hex(ecap)} haw=${hostAddressWidth}`;
  return mtrrCap === 0n ? shape : `${shape} mtrrcap=${hex(mtrrCap)}`;
}

/** Every way in which the shape of a record differs from a unit's: "NFR 7 instead of 3, …". */
export function shapeDifferences(saved: string, profile: Profile): string {
  const [, version, cap, ecap, width, mtrrCap = "0"] = SHAPE.exec(saved) ?? [];
  if (cap === undefined || ecap === undefined) return "it is no shape of a unit";
  const differences: string[] = [];
  const compare = (name: string, there: unknown, here: unknown): void => {
    if (there !== here) differences.push(`${name} ${String(there)} instead of ${String(here)}`);
  };
  const { capabilities } = profile;
  const others = decodeCapabilities(BigInt(`0x${cap}`), BigInt(`0x${ecap}`));
  compare("version", version, profile.version.toString(16));
  for (const name of Object.keys(capabilities) as (keyof Capabilities)[]) {
    compare(name, others[name], capabilities[name]);
  }
  compare("host address width", Number(width), profile.hostAddressWidth);
  compare("MTRRCAP", mtrrCap, profile.mtrrCap.toString(16));
  return differences.join(", ");
}
