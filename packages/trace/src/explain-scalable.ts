import {
  FaultReason,
  PASID_DIR_ENTRY,
  PASID_ENTRY,
  SM_CONTEXT_ENTRY,
  SM_ROOT_ENTRY,
} from "@viommu/vtd-spec";
import { translateWithPasidEntry } from "./explain-pasid-entry.ts";
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
  if (isTranslated(request)) {
    const why = "the request was translated already";
    const outcome = untranslated(tables, request.iova, FaultReason.SM_HOST_WIDTH, why);
    return outsideInterruptRange(outcome, FaultReason.SM_OUTPUT_IN_INTERRUPT_RANGE);
  }
  const pasid = hasPasid(request) ? request.pasid : Number(context.fields.RID_PASID);
  const supervisor = !hasPasid(request) && context.fields.RID_PRIV === 1n;
  const entry = readPasidEntry(tables, context.fields.PASIDDIRPTR, pasid);
  if (!("fields" in entry)) return entry;
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

/**
 * AW. VT-d 9.6 reserves it without second stage (SSTS = 0), but guests set it there for first-stage
 * tables as well, and work on every unit known.
 */
const ADDRESS_WIDTH = 7n << 2n;

/** The PASID table entry, or how the walk ends before it. */
function readPasidEntry(
  tables: ExplainedTables,
  directory: bigint,
  pasid: number,
): ReadEntry<typeof PASID_ENTRY> | Outcome {
  tables.note(`PASID directory at ${hex(directory)}; PASID ${hex(pasid)}`);
  const dirAt = directory + 8n * BigInt(pasid >> 6);
  const dir = tables.read(PASID_DIR_ENTRY, `PASID directory entry ${pasid >> 6}`, dirAt);
  if (dir === undefined) {
    return faulted(FaultReason.PASID_DIR_ACCESS, "the PASID directory entry can't be read");
  }
  if (dir.fields.P === 0n) {
    return faulted(FaultReason.PASID_DIR_NOT_PRESENT, "the PASID directory entry is not present");
  }
  if (dir.reserved) {
    return faulted(FaultReason.PASID_DIR_RESERVED, "a reserved bit is set in the directory entry");
  }
  tables.note(`PASID table at ${hex(dir.fields.SMPTBLPTR)}`);
  const at = dir.fields.SMPTBLPTR + 64n * BigInt(pasid & 63);
  const name = `PASID table entry ${hex(pasid)}`;
  const entry = tables.read(PASID_ENTRY, name, at, { except: ADDRESS_WIDTH });
  if (entry === undefined) {
    return faulted(FaultReason.PASID_ENTRY_ACCESS, "the PASID table entry can't be read");
  }
  if (entry.fields.P === 0n) {
    return faulted(FaultReason.PASID_ENTRY_NOT_PRESENT, "the PASID table entry is not present");
  }
  if (entry.reserved) {
    return faulted(FaultReason.PASID_ENTRY_RESERVED, "a reserved bit is set in the PASID entry");
  }
  return entry;
}
