import { Access } from "@viommu/plugin";
import {
  domainIdWidth,
  FaultReason,
  Granularity,
  HPTL1E,
  HPTL2E,
  HPTL3E,
  HPTL4E,
} from "@viommu/vtd-spec";
import type { FieldName, HPT_INV_DSC, Layout, PASID_ENTRY } from "@viommu/vtd-spec";
import { outsideInterruptRange, rightsNeeded, untranslated } from "./explain-requests.ts";
import type { ExplainedTables } from "./explain-tables.ts";
import { faulted } from "./explanation.ts";
import type { Outcome } from "./explanation.ts";
import { accessName, hex, rightsName } from "./text.ts";

type Fields<L extends Layout> = Readonly<Record<FieldName<L>, bigint>>;

/** By level - 1. Entries of level 4 have no permissions, those of level 1 no next table. */
const ENTRIES: readonly Layout[] = [HPTL1E, HPTL2E, HPTL3E, HPTL4E];

/**
 * A translated request under HPTE: the address stays as it is, where the host permission table of the
 * PASID table entry allows the access (VT-d 4.2.4, 4.2.5).
 */
export function walkHostPermissions(
  tables: ExplainedTables,
  { HPTDID, HPTPTR, HPTSZ }: Fields<typeof PASID_ENTRY>,
  address: bigint,
  access: number,
): Outcome {
  const width = 49n + HPTSZ;
  tables.note(`host permission table of domain ${hex(HPTDID)} at ${hex(HPTPTR)}`);
  if (address >> width !== 0n) {
    const because = `${hex(address)} needs more than the ${width} bits that HPTSZ gives`;
    return faulted(FaultReason.HPT_ADDRESS_BEYOND_SIZE, because);
  }
  const used = outsideInterruptRange(
    untranslated(tables, address, FaultReason.SM_HOST_WIDTH, "the request was translated already"),
    FaultReason.SM_OUTPUT_IN_INTERRUPT_RANGE,
  );
  if (used.fault !== undefined) return used;
  let table = HPTPTR;
  for (let level = 4; ; level -= 1) {
    const index = address >> BigInt(9 + 8 * level);
    const at = table + 16n * (level === 4 ? index : index & 0xffn);
    const name = `host permission entry, level ${level}`;
    const shift = 3 + 9 * level;
    const page = `PP${(address >> BigInt(shift)) & ((1n << BigInt(6 - level)) - 1n)}`;
    // the permissions of the other pages are left out
    const show = (field: string): boolean => field === page || !field.startsWith("PP");
    const entry = tables.read(ENTRIES[level - 1]!, name, at, { show });
    if (entry === undefined) {
      const reason = level === 4 ? FaultReason.HPT_ROOT_ACCESS : FaultReason.HPT_ENTRY_ACCESS;
      return faulted(reason, `the ${name} at ${hex(at)} is in no memory`);
    }
    if (entry.reserved) {
      return faulted(FaultReason.HPT_RESERVED, `a reserved bit is set in the ${name}`);
    }
    const { AV = 0n, ADDR = 0n, [page]: granted = 0n } = entry.fields;
    if (granted !== 0n) {
      const size = hex(1n << BigInt(shift));
      const permission = `${page} gives the right to ${rightsName(Number(granted))} a page of ${size} bytes`;
      tables.note(permission);
      const reason = denial(tables, access, Number(granted));
      if (reason !== undefined) {
        return faulted(reason, `level ${level} denies a ${accessName(access)}: ${permission}`);
      }
      return { address, pageShift: shift, because: `${used.because}, and ${permission}` };
    }
    if (AV === 0n) {
      const end = level === 1 ? `${page} is 0` : level === 4 ? "AV is 0" : `AV and ${page} are 0`;
      tables.note(`${end}: no permission`);
      const reason = denial(tables, access, 0)!;
      return faulted(reason, `level ${level} denies a ${accessName(access)}: ${end}`);
    }
    tables.note(`next table at ${hex(ADDR)}`);
    table = ADDR;
  }
}

/** Why these rights are too few; undefined if they are not (conditions HPT.4 to HPT.6 of 7.1.3). */
function denial(tables: ExplainedTables, access: number, granted: number): number | undefined {
  const needed = rightsNeeded(tables, access);
  const missing = needed & ~granted;
  if ((missing & Access.WRITE) !== 0) return FaultReason.HPT_WRITE_DENIED;
  if (missing !== 0) return FaultReason.HPT_READ_DENIED;
  return granted === 0 ? FaultReason.HPT_ZERO_LENGTH_DENIED : undefined;
}

const LEVELS = ["level 1", "levels 2 and 1", "levels 3 to 1", "all levels"];

/** What an HPT cache invalidate descriptor drops, in words (VT-d 6.5.2.7). */
export function hptInvalidationText(
  tables: ExplainedTables,
  { G, HPTDID, ADDR, AM, IH }: Fields<typeof HPT_INV_DSC>,
): string {
  if (Number(G) === Granularity.GLOBAL) return "all host permissions, all levels";
  const domain = below(HPTDID, domainIdWidth(tables.capabilities));
  const what = `host permissions of domain ${hex(domain)}, ${LEVELS[Number(IH)]!}`;
  if (Number(G) === Granularity.DOMAIN) return what;
  const size = 0x1000n << AM;
  const address = below(ADDR, tables.hostAddressWidth) & -size;
  return `${what}: ${hex(size)} bytes at ${hex(address)}`;
}

/** The lowest bits of a value; a descriptor's bits above are ignored. */
function below(value: bigint, width: number): bigint {
  return value & ((1n << BigInt(width)) - 1n);
}
