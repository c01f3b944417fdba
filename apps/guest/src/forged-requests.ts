import { Access } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import type { Kernel } from "./kernel/kernel.ts";
import type { Problems } from "./kernel/problems.ts";
import { accelerators } from "./paging-report.ts";

/*
 * Accelerators with a host permission table forge translated requests now and then. A unit has to let
 * them through where the device has the page anyway, and nowhere else.
 */

/** From now on the answer to each forged request is compared with what the kernel has mapped. */
export function watchForgedRequests(kernel: Kernel, problems: Problems): void {
  for (const { device, driver } of accelerators(kernel)) {
    device.access.onForged = (page, access, result) => {
      const expected = driver.reaches(page, access) ? 0 : denialOf(access);
      if (result === expected) return;
      problems.add(
        `${device.config.name} forged a translated ${access === Access.READ ? "read" : "write"} of ` +
          `0x${page.toString(16)}: the answer is ${result.toString(16)}h instead of ${expected.toString(16)}h`,
      );
    };
  }
}

/** A request is under way that a unit should block: no fault of anybody. */
export function isForging(kernel: Kernel): boolean {
  return accelerators(kernel).some(({ device }) => device.access.forging);
}

const denialOf = (access: number): number =>
  access === Access.READ ? FaultReason.HPT_READ_DENIED : FaultReason.HPT_WRITE_DENIED;
