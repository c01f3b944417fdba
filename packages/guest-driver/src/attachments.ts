import type { AddressSpace } from "./address-space.ts";
import type { DeviceSetup } from "./device-table.ts";
import { badState, hex } from "./errors.ts";
import type { DeviceId } from "./topology.ts";
import type { UnitDriver } from "./unit-driver.ts";

/** Requests of a device that are led to an address space. */
export interface Attachment {
  readonly unit: UnitDriver;
  readonly device: DeviceSetup;
  /** Null: requests without PASID. */
  readonly pasid: number | null;
  readonly space: AddressSpace;
}

/** Which device sees what, by its requests without PASID and by each PASID. */
export class Attachments {
  /** By device, then by PASID. */
  readonly #devices = new Map<string, Map<number | null, Attachment>>();

  get(device: DeviceId, pasid: number | null): Attachment | null {
    return this.#devices.get(keyOf(device))?.get(pasid) ?? null;
  }

  /** How many a device has. */
  count(device: DeviceId): number {
    return this.#devices.get(keyOf(device))?.size ?? 0;
  }

  /** What the tables say of a device, because of others of its requests than these; or null. */
  setupBeside(device: DeviceId, pasid: number | null): DeviceSetup | null {
    const attachments = [...(this.#devices.get(keyOf(device))?.values() ?? [])];
    return attachments.find((attachment) => attachment.pasid !== pasid)?.device ?? null;
  }

  /** All of them. */
  *all(): Iterable<Attachment> {
    for (const attachments of this.#devices.values()) yield* attachments.values();
  }

  /**
   * Leads requests of a device to a space; they must be led nowhere before. With host permissions
   * those without PASID come first: their entry has the permissions of all.
   */
  make(device: DeviceId, attachment: Attachment): void {
    const { unit, device: setup, pasid, space } = attachment;
    const key = keyOf(device);
    const attachments = this.#devices.get(key) ?? new Map<number | null, Attachment>();
    const isFirst = attachments.size === 0;
    if (setup.hostPermissions && isFirst && pasid !== null) {
      throw badState(
        `device ${hex(setup.sourceId)} has host permissions, and is in no domain without PASID`,
        "attach() it first: the entry of its requests without PASID has the permissions of all",
      );
    }
    // a predecessor may have left an entry
    if (isFirst) unit.unbind(setup, null);
    if (isFirst && setup.hostPermissions) unit.permissions.open(setup.sourceId);
    try {
      space.add(unit, setup, pasid);
    } catch (error) {
      if (isFirst) unit.permissions.close(setup.sourceId);
      throw error; // no memory for tables
    }
    this.#devices.set(key, attachments.set(pasid, attachment));
  }

  /** Ends that: forgotten here first, so that page requests which still come are refused. */
  end(device: DeviceId, attachment: Attachment): void {
    const key = keyOf(device);
    const attachments = this.#devices.get(key)!;
    const { unit, device: setup, pasid, space } = attachment;
    if (setup.hostPermissions && pasid === null && attachments.size > 1) {
      throw badState(
        `device ${hex(setup.sourceId)} has host permissions, and its PASIDs are in use`,
        "detach and unbind them first: they need its entry without PASID",
      );
    }
    attachments.delete(pasid);
    const isLast = attachments.size === 0;
    if (isLast) this.#devices.delete(key);
    space.remove(unit, setup, pasid);
    if (isLast) unit.permissions.close(setup.sourceId);
  }
}

/** One string for each device. */
export const keyOf = ({ segment = 0, sourceId }: DeviceId): string => `${segment}:${sourceId}`;
