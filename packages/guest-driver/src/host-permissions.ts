import { DevicePermissions } from "./device-permissions.ts";
import type { PermissionParts } from "./device-permissions.ts";
import { DomainIds, HPT_DOMAINS } from "./domain-ids.ts";
import type { HostPermissionState } from "./driver-state.ts";

/** The host permission tables of one unit's devices: one each, while the device is in use. */
export class HostPermissions {
  readonly #parts: PermissionParts;
  readonly #ids: DomainIds;
  /** By source-id. */
  readonly #devices = new Map<number, DevicePermissions>();

  constructor(parts: PermissionParts, unit: string) {
    this.#parts = parts;
    this.#ids = new DomainIds(parts.capabilities, unit, HPT_DOMAINS);
  }

  /** Those of a device that has any. */
  of(sourceId: number): DevicePermissions | null {
    return this.#devices.get(sourceId) ?? null;
  }

  /** Makes the table of a device, which permits nothing. */
  open(sourceId: number): void {
    const id = this.#ids.allocate();
    try {
      this.#devices.set(sourceId, new DevicePermissions(this.#parts, id));
    } catch (error) {
      this.#ids.release(id);
      throw error; // no memory for tables
    }
  }

  /** Takes it away, when the unit has forgotten it. */
  close(sourceId: number): void {
    const permissions = this.#devices.get(sourceId);
    if (permissions === undefined) return;
    this.#devices.delete(sourceId);
    permissions.release();
    this.#ids.release(permissions.table.hptDomainId);
  }

  /** Takes an id that a predecessor's tables use; it is never given out. */
  reserve(id: number): void {
    this.#ids.reserve(id);
  }

  /** Whose tables lie where, in words. */
  get layout(): string {
    const text = ([sourceId, { table }]: [number, DevicePermissions]): string =>
      ` ${sourceId}: ${table.hptDomainId} ${table.root}`;
    return [...this.#devices]
      .sort(([a], [b]) => a - b)
      .map(text)
      .join(",");
  }

  save(): HostPermissionState {
    return {
      ids: this.#ids.save(),
      devices: [...this.#devices].map(([sourceId, permissions]) => [sourceId, permissions.save()]),
    };
  }

  /** The same devices are in use. */
  restore({ ids, devices }: HostPermissionState): void {
    this.#ids.restore(ids);
    for (const [sourceId, counts] of devices) this.#devices.get(sourceId)?.restore(counts);
  }
}
