import type { PhysicalIommuHarness, PhysicalInterrupt } from "@viommu/conformance";
import { AtcResult } from "@viommu/memory";
import type { AnsweredGroup, DmaPort } from "@viommu/memory";
import { Access, hiFromNumber, loFromNumber } from "@viommu/plugin";
import { createPhysicalDevice } from "../../src/index.ts";
import type { PhysicalDevice, PhysicalUnitOptions } from "../../src/index.ts";
import { FULL, unitHost } from "./unit-host.ts";

const DEVICE = 0x0123;
const ALIAS = 0x0201;
const OTHER = 0x0010;

/** The model of a unit, for the conformance suite; devices may have caches of their own. */
export function unitHarness(
  profile: typeof FULL = FULL,
  options: Partial<PhysicalUnitOptions> = {},
  ats = false,
): PhysicalIommuHarness {
  const devices = [
    { sourceId: DEVICE, aliases: [ALIAS], ats, pri: true },
    { sourceId: OTHER, ats, pri: true },
  ];
  const host = unitHost({ deviceTlb: ats, ...profile }, { devices, ...options });
  const { delivered, memory, unit } = host;
  const made = new Map<number, PhysicalDevice>();
  const deviceOf = (sourceId: number): PhysicalDevice => {
    const parts = ats ? { deviceTlb: { pageRequests: { answered } } } : {};
    const device = made.get(sourceId) ?? createPhysicalDevice(unit, sourceId, parts);
    made.set(sourceId, device);
    return device;
  };
  const waiting: { readonly pasid: number; readonly told: (code: number) => void }[] = [];
  const answered = ({ code, pasid }: AnsweredGroup): void => {
    const at = waiting.findIndex((each) => each.pasid === pasid);
    if (at >= 0) waiting.splice(at, 1)[0]!.told(code);
  };
  const requestPage: PhysicalIommuHarness["requestPage"] = (sourceId, pasid, address, told) => {
    waiting.push({ pasid, told });
    const place = { hi: hiFromNumber(address), lo: loFromNumber(address) };
    const need = { sourceId, pasid, ...place, pages: 1, access: Access.READ };
    deviceOf(sourceId).deviceTlb!.requestPages(need);
  };
  /** An access; where its cache gives a device no right, it asks the unit for the access itself. */
  const access = (sourceId: number, pasid: number, act: (port: DmaPort) => number): number => {
    const result = act(deviceOf(sourceId).dmaWith(pasid));
    if (result !== AtcResult.NO_PERMISSION) return result;
    return act(createPhysicalDevice(unit, sourceId).dmaWith(pasid));
  };
  return {
    iommu: unit,
    memory,
    firstFrame: 0x300,
    devices: [DEVICE, OTHER],
    alias: ALIAS,
    pasids: unit.info.nesting ? [1, 0x40] : [],
    read: (sourceId, pasid, address) => {
      const bytes = new Uint8Array(4);
      if (access(sourceId, pasid, (port) => port.read(address, bytes)) !== 0) return null;
      return new DataView(bytes.buffer).getInt32(0, true);
    },
    write: (sourceId, pasid, address, value) =>
      access(sourceId, pasid, (port) => port.writeWord(address, value)) === 0,
    begin: (sourceId, address) => {
      const segments = deviceOf(sourceId).dma.segments(address, 64, Access.READ);
      return () => {
        segments.release();
      };
    },
    ...(ats ? { requestPage } : {}),
    interrupt: (sourceId, handle) => {
      delivered.length = 0;
      deviceOf(sourceId).interrupt(handle);
      return delivered.map(([upper, address, data]): PhysicalInterrupt => ({
        vector: data! & 0xff,
        destination: (upper! | ((address! >>> 12) & 0xff)) >>> 0,
      }));
    },
  };
}
