import type { Invalidation } from "@viommu/plugin";

/**
 * A device model (QEMU) as the hypervisor calls it: where an access of the guest to a vIOMMU is
 * handed on, so that what the model keeps of earlier answers follows the guest.
 */
export interface DeviceModel {
  /**
   * A vIOMMU invalidates `what`; null: every answer may differ (translation was switched, a table
   * pointer latched, a vIOMMU created or destroyed). The model forgets such answers now. It returns
   * true when no access of its devices that was translated before is still under way. Otherwise the
   * guest is told of completion only after the sub-operation DRAINED with this ticket.
   */
  invalidate(viommuId: number, ticket: number, what: Invalidation | null): boolean;
}
