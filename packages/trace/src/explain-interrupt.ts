import {
  COMPATIBILITY_REQUEST,
  DeliveryMode,
  FaultReason,
  IRTE_POSTED,
  IRTE_REMAPPED,
  IRTE_REMAPPED_XAPIC,
  REMAPPABLE_REQUEST,
  REMAPPABLE_REQUEST_SHV,
  SourceValidation,
} from "@viommu/vtd-spec";
import type { ExplainedTables, ReadEntry } from "./explain-tables.ts";
import type { Message } from "./format.ts";
import { remappingIndex } from "./remapping-entry.ts";
import { hex } from "./text.ts";

/** The modes that decide about an interrupt request (GSTS, IRTA). */
export interface InterruptModes {
  readonly remapping: boolean;
  /** GSTS.CFIS. */
  readonly compatibility: boolean;
  /** IRTA.EIME. */
  readonly extended: boolean;
  readonly table: bigint;
  /** Number of entries. */
  readonly size: number;
}

/** How an interrupt request ends: with a message, posted (no message), or a fault. */
export type InterruptOutcome =
  | { readonly fault: number; readonly because: string }
  | { readonly fault?: undefined; readonly message: Message | null; readonly because: string };

/** Follows an interrupt request through the interrupt-remapping table (VT-d 5.1.4). */
export function walkInterrupt(
  tables: ExplainedTables,
  modes: InterruptModes,
  requester: number,
  request: Message,
): InterruptOutcome {
  const { address, data } = request;
  const words = Int32Array.of(Number(address & 0xffff_ffffn) | 0, data | 0);
  const remappable = (address & 16n) !== 0n;
  const subhandle = remappable && (address & 8n) !== 0n;
  const remappableLayout = subhandle ? REMAPPABLE_REQUEST_SHV : REMAPPABLE_REQUEST;
  const layout = remappable ? remappableLayout : COMPATIBILITY_REQUEST;
  tables.show(layout, `request of ${hex(requester, 4)}: address, data`, words);
  const { EIMER, IRREQ } = tables.capabilities;
  if (!modes.remapping) {
    return IRREQ === 0
      ? { message: request, because: "remapping is off, the request passes as it is" }
      : { fault: FaultReason.IR_REQUIRED, because: "remapping is off, and IRREQ wants it on" };
  }
  if (EIMER !== 0 && !modes.extended) {
    return { fault: FaultReason.EIM_REQUIRED, because: "EIME is 0, and EIMER wants it to be 1" };
  }
  if (!remappable) return compatibility(modes, request);
  if (subhandle && data >>> 16 !== 0) {
    return { fault: FaultReason.IR_REQUEST_RESERVED, because: "data bits 31:16 are not 0" };
  }
  const index = remappingIndex(address, data);
  tables.note(`asks for entry ${hex(index)}`);
  if (index >= modes.size) {
    const because = `the table has ${hex(modes.size)} entries`;
    return { fault: FaultReason.IR_INDEX_BEYOND_TABLE, because };
  }
  return useEntry(tables, modes, requester, request, index);
}

function compatibility(modes: InterruptModes, request: Message): InterruptOutcome {
  if (modes.compatibility && !modes.extended) {
    return { message: request, because: "CFIS is 1: compatibility format passes as it is" };
  }
  const because = modes.extended
    ? "compatibility format is blocked while EIME is 1"
    : "compatibility format is blocked while CFIS is 0";
  return { fault: FaultReason.IR_COMPATIBILITY_BLOCKED, because };
}

function useEntry(
  tables: ExplainedTables,
  modes: InterruptModes,
  requester: number,
  request: Message,
  index: number,
): InterruptOutcome {
  const at = modes.table + 16n * BigInt(index);
  const posted = ((tables.word(at) ?? 0n) & 0x8000n) !== 0n && tables.capabilities.PI !== 0;
  const remapped = modes.extended ? IRTE_REMAPPED : IRTE_REMAPPED_XAPIC;
  const name = `interrupt-remapping entry ${hex(index)}`;
  const layout = (posted ? IRTE_POSTED : remapped) as typeof IRTE_REMAPPED;
  const entry = tables.read(layout, name, at);
  if (entry === undefined) return { fault: FaultReason.IRTE_ACCESS, because: `no ${name}` };
  if (entry.fields.P === 0n) {
    return { fault: FaultReason.IRTE_NOT_PRESENT, because: `${name} is not present` };
  }
  const because = refusesSource(entry, requester);
  if (because !== undefined) return { fault: FaultReason.IR_SOURCE_ID, because };
  const undefinedMode =
    !posted && !Object.values<bigint | number>(DeliveryMode).includes(Number(entry.fields.DLM));
  if (entry.reserved || entry.fields.SVT === 3n || undefinedMode) {
    return { fault: FaultReason.IRTE_RESERVED, because: `a reserved bit or value is in ${name}` };
  }
  if (posted) return { message: null, because: "the interrupt is posted" };
  const { DST, RH, DM, TM, DLM, V } = entry.fields;
  return {
    message: {
      address:
        ((DST >> 8n) << 40n) |
        0xfee0_0000n |
        ((DST & 0xffn) << 12n) |
        (RH << 3n) |
        (DM << 2n) |
        (request.address & 3n),
      data: Number(V | (DLM << 8n) | 0x4000n | (TM << 15n)),
    },
    because: `vector ${hex(V)} for APIC id ${hex(DST)}`,
  };
}

/** Function-number bits that SQ leaves out of a comparison. */
const NOT_COMPARED = [0, 4, 6, 7];

/** Why the entry refuses this requester (VT-d 9.9: SVT, SQ, SID). */
function refusesSource(
  { fields: { SVT, SQ, SID } }: ReadEntry<typeof IRTE_REMAPPED>,
  requester: number,
): string | undefined {
  const wanted = Number(SID);
  const given = hex(requester, 4);
  if (Number(SVT) === SourceValidation.SOURCE_ID) {
    const ignored = NOT_COMPARED[Number(SQ)]!;
    const same = ((wanted ^ requester) & ~ignored) === 0;
    return same ? undefined : `the entry is for ${hex(wanted, 4)}, the requester is ${given}`;
  }
  if (Number(SVT) === SourceValidation.BUS_RANGE) {
    const bus = requester >> 8;
    const inside = bus >= wanted >> 8 && bus <= (wanted & 0xff);
    return inside ? undefined : `the bus of requester ${given} is outside of the entry's range`;
  }
  return undefined;
}
