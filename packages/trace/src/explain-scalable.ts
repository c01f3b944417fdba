import { FaultReason, SM_CONTEXT_ENTRY, SM_ROOT_ENTRY } from "@viommu/vtd-spec";
import { permitWithPasidEntry, translateWithPasidEntry } from "./explain-pasid-entry.ts";
import { readPasidEntry } from "./explain-pasid-table.ts";
import { hasPasid, isTranslated, outsideInterruptRange, untranslated } from "./explain-requests.ts";
import type { WalkedRequest } from "./explain-requests.ts";
import type { ExplainedTables, ReadEntry } from "./explain-tables.ts";
import { faulted } from "./explanation.ts";
import type { Outcome } from "./explanation.ts";
import { deviceName, hex } from "./text.ts";

/** The parts of RTADDR that a walk needs. */
export interface ScalableRoot {
  readonly table: bigint;
  /** RTADDR.SSIRWE. */
  readonly ioPermissions: boolean;
}

/** Scalable mode: root, context, PASID directory and table, paging (VT-d 3.4.3, 7.1.3). */
export function walkScalable(
  tables: ExplainedTables,
  root: ScalableRoot,
  request: WalkedRequest,
): Outcome {
  if (hasPasid(request) && request.pasid >= 2 ** (tables.capabilities.PSS + 1)) {
    return faulted(FaultReason.PASID_BEYOND_PSS, `PASID ${hex(request.pasid)} is beyond PSS`);
  }
  const table = readRoot(tables, root.table, request);
  if (typeof table !== "bigint") return table;
  const at = table + 32n * BigInt(request.sid & 0x7f);
  const context = tables.read(SM_CONTEXT_ENTRY, `context entry of ${deviceName(request.sid)}`, at);
  const refused = checkContext(context, request);
  if (refused !== undefined || context === undefined) return refused!;
  const { HPTE, PASIDDIRPTR, RID_PASID, RID_PRIV } = context.fields;
  if (isTranslated(request) && HPTE === 0n) {
    if (tables.capabilities.HPTS !== 0)
      tables.note("HPTE is 0: no host permission table has a say");
    const why = "the request was translated already";
    const outcome = untranslated(tables, request.iova, FaultReason.SM_HOST_WIDTH, why);
    return outsideInterruptRange(outcome, FaultReason.SM_OUTPUT_IN_INTERRUPT_RANGE);
  }
  const pasid = hasPasid(request) ? request.pasid : Number(RID_PASID);
  const supervisor = !hasPasid(request) && RID_PRIV === 1n;
  const entry = readPasidEntry(tables, PASIDDIRPTR, pasid);
  if (!("fields" in entry)) return entry;
  if (isTranslated(request)) return permitWithPasidEntry(tables, entry.fields, request);
  const outcome = translateWithPasidEntry(tables, entry.fields, {
    address: request.iova,
    access: request.access,
    supervisor,
    ioPermissions: root.ioPermissions,
  });
  return outsideInterruptRange(outcome, FaultReason.SM_OUTPUT_IN_INTERRUPT_RANGE);
}

/** The half of the root entry for the device: the context table, or how the walk ends. */
function readRoot(
  tables: ExplainedTables,
  rootTable: bigint,
  request: WalkedRequest,
): bigint | Outcome {
  const bus = request.sid >> 8;
  const upper = (request.sid & 0x80) !== 0;
  const name = `root entry of bus ${hex(bus, 2)}`;
  const at = rootTable + 16n * BigInt(bus);
  const entry = tables.read(SM_ROOT_ENTRY, name, at);
  if (entry === undefined) {
    return faulted(FaultReason.SM_ROOT_ACCESS, "the root entry can't be read");
  }
  const { LP, UP, LCTP, UCTP } = entry.fields;
  const half = upper ? "upper" : "lower";
  if ((upper ? UP : LP) === 0n) {
    return faulted(FaultReason.SM_ROOT_NOT_PRESENT, `the ${half} half is not present`);
  }
  const table = upper ? UCTP : LCTP;
  const reserved = (tables.word(at + (upper ? 8n : 0n))! & 0xffen) !== 0n;
  if (reserved || table >> BigInt(tables.hostAddressWidth) !== 0n) {
    return faulted(FaultReason.SM_ROOT_RESERVED, `a reserved bit is set in the ${half} half`);
  }
  tables.note(`${half} half: context table at ${hex(table)}`);
  return table;
}

/** Why a request ends at its context entry; undefined when it does not. */
function checkContext(
  context: ReadEntry<typeof SM_CONTEXT_ENTRY> | undefined,
  request: WalkedRequest,
): Outcome | undefined {
  if (context === undefined) {
    return faulted(FaultReason.SM_CONTEXT_ACCESS, "the context entry can't be read");
  }
  const { P, DTE, PRE, EPTR, PASIDE, RID_PASID, PDTS } = context.fields;
  const limit = 1n << (PDTS + 13n);
  const pasid = BigInt(request.pasid);
  const withPasid = hasPasid(request);
  const checks: readonly [boolean, number, string][] = [
    [P === 0n, FaultReason.SM_CONTEXT_NOT_PRESENT, "the context entry is not present"],
    [context.reserved, FaultReason.SM_CONTEXT_RESERVED, "a reserved bit is set"],
    [DTE === 0n && PRE === 1n, FaultReason.SM_CONTEXT_INVALID, "PRE without DTE"],
    [RID_PASID >= limit, FaultReason.SM_CONTEXT_INVALID, "RID_PASID is beyond the directory"],
    [
      // table 30: untranslated requests with PASID go on to SCT.6
      EPTR === 1n && PASIDE === 0n && (!withPasid || isTranslated(request)),
      FaultReason.SM_CONTEXT_INVALID,
      "EPTR without PASIDE",
    ],
    [
      isTranslated(request) && DTE === 0n,
      FaultReason.SM_DEVICE_TLB_DISABLED,
      "translated requests need DTE",
    ],
    [
      isTranslated(request) && withPasid && EPTR === 0n,
      FaultReason.SM_TRANSLATED_PASID_DISABLED,
      "translated requests with PASID need EPTR",
    ],
    [
      withPasid && !isTranslated(request) && PASIDE === 0n,
      FaultReason.SM_PASID_DISABLED,
      "requests with PASID need PASIDE",
    ],
    [withPasid && pasid === RID_PASID, FaultReason.SM_PASID_IS_RID_PASID, "it is RID_PASID"],
    [withPasid && pasid >= limit, FaultReason.SM_PASID_BEYOND_DIR, "beyond the directory"],
  ];
  const found = checks.find(([applies]) => applies);
  return found && faulted(found[1], found[2]);
}
