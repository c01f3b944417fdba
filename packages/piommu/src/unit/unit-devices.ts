import { MapFlag } from "@viommu/plugin";
import type { PagingSpace, PhysicalMapping, ReservedRegion } from "@viommu/plugin";
import type { PhysicalFunction } from "./device-tables.ts";
import { hex, refusal } from "./refusal.ts";

const INTERRUPTS: ReservedRegion = { dfn: 0xfee00, frames: 0x100, kind: "interrupts" };
const READ_WRITE = MapFlag.READ | MapFlag.WRITE;

/** What a host has to say of a device; those without anything to say need not be named. */
export interface PhysicalDeviceOptions {
  /** Bus (15:8), device (7:3), function (2:0). */
  readonly sourceId: number;
  /** Other source-ids of its requests: phantom functions, a bridge in front of it. */
  readonly aliases?: readonly number[];
  /** Frames that its firmware or its management uses at all times (RMRR). */
  readonly direct?: readonly { readonly dfn: number; readonly frames: number }[];
  /** It has a device-TLB (PCI Express ATS), which is used where the unit has ECAP.DT (false). */
  readonly ats?: boolean;
  /** It makes page requests (PRI), too, which are taken where the unit has ECAP.PRS (false). */
  readonly pri?: boolean;
}

/** The devices below a unit. */
export class UnitDevices {
  private readonly known = new Map<number, PhysicalFunction>();
  private readonly direct = new Map<PhysicalFunction, readonly ReservedRegion[]>();

  /**
   * Throws ERR_VIOMMU_PIOMMU when two devices have one source-id.
   * @param unit whether the unit has device-TLBs (ECAP.DT), and takes page requests
   */
  constructor(
    devices: readonly PhysicalDeviceOptions[],
    unit: { readonly ats: boolean; readonly pri: boolean },
  ) {
    for (const described of devices) {
      const { sourceId, aliases = [], direct = [] } = described;
      const ats = described.ats === true && unit.ats;
      const pri = described.pri === true && ats && unit.pri;
      const device = { sourceId, sourceIds: [sourceId, ...aliases], ats, pri };
      for (const id of device.sourceIds) {
        checkSourceId(id);
        if (this.known.has(id)) {
          throw refusal(
            `source-id ${hex(id)} is named twice; describe what shares it as one device`,
          );
        }
        this.known.set(id, device);
      }
      this.direct.set(
        device,
        direct.map(({ dfn, frames }) => ({ dfn, frames, kind: "direct" })),
      );
    }
  }

  /** The device with this source-id, its own or an alias. */
  of(sourceId: number): PhysicalFunction {
    checkSourceId(sourceId);
    let device = this.known.get(sourceId);
    if (device === undefined) {
      device = { sourceId, sourceIds: [sourceId], ats: false, pri: false };
      this.known.set(sourceId, device);
    }
    return device;
  }

  reservedRegions(device: PhysicalFunction): readonly ReservedRegion[] {
    return [INTERRUPTS, ...(this.direct.get(device) ?? [])];
  }

  /** Throws ERR_VIOMMU_PIOMMU unless a space maps what the device uses at all times. */
  checkDirect(device: PhysicalFunction, space: PagingSpace): void {
    const found: PhysicalMapping = { mfn: 0, order: 0, flags: 0 };
    for (const { dfn, frames } of this.direct.get(device) ?? []) {
      for (let frame = dfn; frame < dfn + frames; frame += 1) {
        const isMapped = space.lookup(frame, found) && found.mfn === frame;
        if (isMapped && (found.flags & READ_WRITE) === READ_WRITE) continue;
        throw refusal(
          `device ${hex(device.sourceId)} needs frame ${hex(frame)} one to one, readable and ` +
            "writable; map its reserved regions before attaching it",
        );
      }
    }
  }
}

function checkSourceId(sourceId: number): void {
  if (Number.isInteger(sourceId) && sourceId >= 0 && sourceId <= 0xffff) return;
  throw refusal(`source-id ${sourceId} has no 16 bits; give bus, device and function`);
}
