import { Access } from "@viommu/plugin";
import { FaultReason, PasidTranslationType } from "@viommu/vtd-spec";
import type { FieldName, PASID_ENTRY } from "@viommu/vtd-spec";
import { walkFirstStage } from "./explain-first-stage.ts";
import type { FirstStage } from "./explain-first-stage.ts";
import { walkHostPermissions } from "./explain-host-permission.ts";
import { isWidthOffered, untranslated } from "./explain-requests.ts";
import type { WalkedRequest } from "./explain-requests.ts";
import { SCALABLE_REASONS, walkSecondStage } from "./explain-second-stage.ts";
import type { SecondStage } from "./explain-second-stage.ts";
import type { ExplainedTables } from "./explain-tables.ts";
import { faulted } from "./explanation.ts";
import type { Outcome } from "./explanation.ts";
import { hex } from "./text.ts";

type Fields = Readonly<Record<FieldName<typeof PASID_ENTRY>, bigint>>;

/** What is left of a request once its PASID table entry is found. */
export interface PagedRequest {
  readonly address: bigint;
  readonly access: number;
  readonly supervisor: boolean;
  /** RTADDR.SSIRWE. */
  readonly ioPermissions: boolean;
}

const { FIRST_STAGE, SECOND_STAGE, NESTED, PASS_THROUGH } = PasidTranslationType;

/** Translates as a valid PASID table entry says (VT-d 9.6: PGTT). */
export function translateWithPasidEntry(
  tables: ExplainedTables,
  fields: Fields,
  request: PagedRequest,
): Outcome {
  const type = Number(fields.PGTT);
  const invalid = whyInvalid(tables, fields, type);
  if (invalid !== undefined) return faulted(FaultReason.PASID_ENTRY_INVALID, invalid);
  if (request.supervisor && fields.SRE === 0n) {
    return faulted(FaultReason.PASID_ENTRY_SUPERVISOR_BLOCKED, "supervisor requests need SRE");
  }
  const { address, access } = request;
  if (type === PASS_THROUGH) {
    tables.note("pass-through");
    return untranslated(tables, address, FaultReason.SM_HOST_WIDTH, "PGTT is pass-through");
  }
  const snoops = tables.capabilities.SMPWCS !== 0 && fields.PWSNP === 1n;
  const second: SecondStage = {
    root: fields.SSPTPTR,
    addressWidth: Number(fields.AW),
    ioPermissions: request.ioPermissions,
    setsFlags: fields.SSADE === 1n,
    snoops,
    reasons: SCALABLE_REASONS,
  };
  if (type === SECOND_STAGE) {
    tables.note(`second-stage tables at ${hex(fields.SSPTPTR)}`);
    return walkSecondStage(tables, second, address, access);
  }
  tables.note(`first-stage tables at ${hex(fields.FSPTPTR)}`);
  const first: FirstStage = {
    root: fields.FSPTPTR,
    levels: fields.FSPM === 1n ? 5 : 4,
    supervisor: request.supervisor,
    writeProtect: fields.WPE === 1n,
    snoops,
  };
  if (type === FIRST_STAGE) return walkFirstStage(tables, first, address, access);
  return walkNested(tables, first, second, request);
}

/**
 * Asks the host permission table of a valid PASID table entry about a translated request. Execute and
 * supervisor requests are as good as others here (table 30 in VT-d 7.1.3: SPT.5, SPT.6 don't apply).
 */
export function permitWithPasidEntry(
  tables: ExplainedTables,
  fields: Fields,
  { iova, access }: WalkedRequest,
): Outcome {
  const invalid = whyInvalid(tables, fields, Number(fields.PGTT));
  if (invalid !== undefined) return faulted(FaultReason.PASID_ENTRY_INVALID, invalid);
  return walkHostPermissions(tables, fields, iova, access);
}

/**
 * Every first-stage entry, and the address they give, goes through the second stage. Its faults keep
 * their reasons there, but for the read permission (table 30 in VT-d 7.1.3: SFS.1, SFS.6, SFS.7).
 */
function walkNested(
  tables: ExplainedTables,
  first: FirstStage,
  second: SecondStage,
  { address, access }: PagedRequest,
): Outcome {
  // VT-d 3.8.1: with SSADE, reading a first-stage entry counts as writing it
  const need = second.setsFlags ? Access.ATOMIC : Access.READ;
  const resolve = (at: bigint, top: boolean): Outcome => {
    const outcome = walkSecondStage(tables, second, at, need);
    if (outcome.fault !== FaultReason.SM_READ_DENIED) return outcome;
    const reason = top ? FaultReason.FS_ROOT_SS_DENIED : FaultReason.FS_ENTRY_SS_DENIED;
    return faulted(reason, outcome.because);
  };
  const guest = walkFirstStage(tables, { ...first, resolve }, address, access);
  if (guest.fault !== undefined) return guest;
  const host = walkSecondStage(tables, second, guest.address, access);
  if (host.fault !== undefined) return host;
  return {
    address: host.address,
    pageShift: Math.min(guest.pageShift, host.pageShift),
    because: `${guest.because}; ${host.because}`,
  };
}

function whyInvalid(tables: ExplainedTables, fields: Fields, type: number): string | undefined {
  const { FSTS, SSTS, NEST, PT, FS5LP } = tables.capabilities;
  const offered: Readonly<Record<number, number>> = {
    [FIRST_STAGE]: FSTS,
    [SECOND_STAGE]: SSTS,
    [NESTED]: NEST,
    [PASS_THROUGH]: PT,
  };
  if ((offered[type] ?? 0) === 0) return `translation type (PGTT) ${type} is not offered`;
  const usesSecond = type === SECOND_STAGE || type === NESTED;
  if (usesSecond && !isWidthOffered(tables, Number(fields.AW))) {
    return `second-stage width (AW) ${fields.AW} is not offered`;
  }
  const usesFirst = type === FIRST_STAGE || type === NESTED;
  if (usesFirst && (fields.FSPM > 1n || (fields.FSPM === 1n && FS5LP === 0))) {
    return `first-stage paging mode (FSPM) ${fields.FSPM} is not offered`;
  }
  const width = Math.min(tables.capabilities.MGAW + 1, 30 + 9 * Number(fields.AW));
  if (type === NESTED && fields.FSPTPTR >> BigInt(width) !== 0n) {
    return `FSPTPTR is beyond the ${width} bits of the second stage`;
  }
  return undefined;
}
