import { Access } from "@viommu/plugin";
import type { Attachments } from "./attachments.ts";
import type { CompleteGroup, RequestedPage } from "./page-request-groups.ts";
import type { PageResponse } from "./page-request-queue.ts";
import { ProcessSpace } from "./process-space.ts";
import type { DeviceId } from "./topology.ts";
import type { UnitDriver } from "./unit-driver.ts";

/** Pages that a device asks for at once, and is answered at once (VT-d 7.6). */
export interface PageRequestGroup {
  readonly device: DeviceId;
  /** Null: its requests have none. */
  readonly pasid: number | null;
  readonly pages: readonly RequestedPage[];
}

/**
 * Makes the pages present and returns "success", or says why not. It may call the driver:
 * `invalidateRange` for what changed, `unbindProcess` when it gives up.
 */
export type PageRequestHandler = (group: PageRequestGroup) => PageResponse;

/**
 * Finds answers. The handler is asked only for pages that the device may have: of a domain or process
 * that it sees, with supervisor privilege only where that is allowed, and never to execute, which
 * VT-d 5.10 has not.
 */
export function answering(
  attachments: Attachments,
  handler: PageRequestHandler,
): (unit: UnitDriver, group: CompleteGroup) => PageResponse {
  return (unit, { sourceId, pasid, pages }) => {
    const device = { segment: unit.description.segment, sourceId };
    const space = attachments.get(device, pasid)?.space;
    if (space === undefined) return "invalid";
    const process = space instanceof ProcessSpace ? space : null;
    if (process?.ended === true) return "invalid";
    const refused =
      process?.table.supervisor === true ? Access.EXECUTE : Access.EXECUTE | Access.PRIVILEGED;
    if (pages.some(({ access }) => (access & refused) !== 0)) return "invalid";
    return handler({ device, pasid, pages });
  };
}
