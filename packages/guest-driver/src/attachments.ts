import type { AddressSpace } from "./address-space.ts";
import type { DeviceSetup } from "./device-table.ts";
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

  /** Leads requests of a device to a space; they must be led nowhere before. */
  make(device: DeviceId, attachment: Attachment): void {
    const { unit, device: setup, pasid, space } = attachment;
    const key = keyOf(device);
    const attachments = this.#devices.get(key) ?? new Map<number | null, Attachment>();
    // a predecessor may have left an entry
    if (attachments.size === 0) unit.unbind(setup, null);
    space.add(unit, setup, pasid);
    this.#devices.set(key, attachments.set(pasid, attachment));
  }

  /** Ends that: forgotten here first, so that page requests which still come are refused. */
  end(device: DeviceId, attachment: Attachment): void {
    const key = keyOf(device);
    const attachments = this.#devices.get(key)!;
    attachments.delete(attachment.pasid);
    if (attachments.size === 0) this.#devices.delete(key);
    attachment.space.remove(attachment.unit, attachment.device, attachment.pasid);
  }
}

/** One string for each device. */
export const keyOf = ({ segment = 0, sourceId }: DeviceId): string => `${segment}:${sourceId}`;
