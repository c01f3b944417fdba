import { CONTEXT_ENTRY, FaultReason, ROOT_ENTRY, TranslationType } from "@viommu/vtd-spec";
import {
  hasPasid,
  isTranslated,
  isWidthOffered,
  outsideInterruptRange,
  untranslated,
} from "./explain-requests.ts";
import type { WalkedRequest } from "./explain-requests.ts";
import { LEGACY_REASONS, walkSecondStage } from "./explain-second-stage.ts";
import type { ExplainedTables } from "./explain-tables.ts";
import { faulted } from "./explanation.ts";
import type { Outcome } from "./explanation.ts";
import { deviceName, hex } from "./text.ts";

/** Legacy mode: root entry, context entry, second-stage tables (VT-d 3.4.2, 7.1.3). */
export function walkLegacy(
  tables: ExplainedTables,
  rootTable: bigint,
  request: WalkedRequest,
): Outcome {
  if (hasPasid(request)) {
    return faulted(FaultReason.PASID_IN_LEGACY, "legacy mode has no requests with PASID");
  }
  const device = deviceName(request.sid);
  const rootAt = rootTable + 16n * BigInt(request.sid >> 8);
  const root = tables.read(ROOT_ENTRY, `root entry of bus ${hex(request.sid >> 8, 2)}`, rootAt);
  if (root === undefined) return faulted(FaultReason.ROOT_ACCESS, "the root entry can't be read");
  if (root.fields.P === 0n) {
    return faulted(FaultReason.ROOT_NOT_PRESENT, "the root entry is not present");
  }
  if (root.reserved) {
    return faulted(FaultReason.ROOT_RESERVED, "a reserved bit is set in the root entry");
  }
  tables.note(`context table at ${hex(root.fields.CTP)}`);
  const contextAt = root.fields.CTP + 16n * BigInt(request.sid & 0xff);
  const context = tables.read(CONTEXT_ENTRY, `context entry of ${device}`, contextAt);
  if (context === undefined) {
    return faulted(FaultReason.CONTEXT_ACCESS, "the context entry can't be read");
  }
  if (context.fields.P === 0n) {
    return faulted(FaultReason.CONTEXT_NOT_PRESENT, "the context entry is not present");
  }
  if (context.reserved) {
    return faulted(FaultReason.CONTEXT_RESERVED, "a reserved bit is set in the context entry");
  }
  const outcome = translate(tables, request, {
    type: Number(context.fields.TT),
    addressWidth: Number(context.fields.AW),
    root: context.fields.SSPTPTR,
  });
  return outsideInterruptRange(outcome, FaultReason.OUTPUT_IN_INTERRUPT_RANGE);
}

function translate(
  tables: ExplainedTables,
  request: WalkedRequest,
  context: { type: number; addressWidth: number; root: bigint },
): Outcome {
  const { DT, PT } = tables.capabilities;
  const { type, addressWidth, root } = context;
  const offered = [true, DT !== 0, PT !== 0, false][type]!;
  if (!offered) {
    return faulted(FaultReason.CONTEXT_INVALID, `translation type ${type} is not offered`);
  }
  if (!isWidthOffered(tables, addressWidth)) {
    return faulted(FaultReason.CONTEXT_INVALID, `address width ${addressWidth} is not offered`);
  }
  const beyondWidth = FaultReason.ADDRESS_BEYOND_WIDTH;
  if (isTranslated(request)) {
    if (type !== TranslationType.DEVICE_TLB) {
      return faulted(FaultReason.REQUEST_BLOCKED, "translated requests need TT = 01b");
    }
    return untranslated(tables, request.iova, beyondWidth, "the request was translated already");
  }
  if (type === TranslationType.PASS_THROUGH) {
    tables.note("pass-through");
    return untranslated(tables, request.iova, beyondWidth, "the device is in pass-through");
  }
  tables.note(`second-stage tables at ${hex(root)}`);
  const stage = {
    root,
    addressWidth,
    ioPermissions: false,
    setsFlags: false,
    snoops: false,
    reasons: LEGACY_REASONS,
  };
  return walkSecondStage(tables, stage, request.iova, request.access);
}
