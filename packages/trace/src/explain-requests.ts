import { Access, NO_PASID } from "@viommu/plugin";
import type { ExplainedTables } from "./explain-tables.ts";
import { faulted } from "./explanation.ts";
import type { Outcome } from "./explanation.ts";
import type { DmaEvent } from "./format.ts";
import { hex } from "./text.ts";

/** What a walk needs to know of a DMA request. */
export type WalkedRequest = Pick<DmaEvent, "sid" | "pasid" | "iova" | "access" | "index">;

/** Whether a request carries a translated address. */
export function isTranslated(request: WalkedRequest): boolean {
  return request.index === 1;
}

export function hasPasid(request: WalkedRequest): boolean {
  return request.pasid !== NO_PASID;
}

/** Rights that an access needs: a zero-length read is a read unless CAP.ZLR is 1 (VT-d 3.14). */
export function rightsNeeded(tables: ExplainedTables, access: number): number {
  const asked = access & Access.ATOMIC;
  return asked === Access.NONE && tables.capabilities.ZLR === 0 ? Access.READ : asked;
}

/** FEEx_xxxxh (VT-d 3.15). */
export function isInterruptRange(address: bigint): boolean {
  return address >> 20n === 0xfeen;
}

/** An AW value that CAP.SAGAW offers: 1, 2 or 3 for 39, 48 or 57 bits. */
export function isWidthOffered(tables: ExplainedTables, addressWidth: number): boolean {
  return (
    addressWidth >= 1 &&
    addressWidth <= 3 &&
    ((tables.capabilities.SAGAW >> addressWidth) & 1) === 1
  );
}

/** The address is used as it is: pass-through, or translated already. */
export function untranslated(
  tables: ExplainedTables,
  address: bigint,
  beyondWidth: number,
  why: string,
): Outcome {
  if (address >> BigInt(tables.hostAddressWidth) !== 0n) {
    const bits = tables.hostAddressWidth;
    return faulted(beyondWidth, `${hex(address)} needs more than the ${bits} bits of the host`);
  }
  return { address, pageShift: tables.hostAddressWidth, because: why };
}

/** No DMA may end in the interrupt range; `reason` says so in the words of the mode. */
export function outsideInterruptRange(outcome: Outcome, reason: number): Outcome {
  if (outcome.fault !== undefined || !isInterruptRange(outcome.address)) return outcome;
  return faulted(reason, `the output address ${hex(outcome.address)} is in FEEx_xxxxh`);
}
