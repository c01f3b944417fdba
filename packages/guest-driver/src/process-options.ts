import type { FirstStage } from "./device-table.ts";
import { understands } from "./domain-format.ts";
import type { Domain } from "./domain.ts";
import { badDomain, badPasid, hex, notCapable } from "./errors.ts";
import { ProcessSpace } from "./process-space.ts";
import { PAGE_SIZE } from "./table-memory.ts";
import type { UnitDriver } from "./unit-driver.ts";

/** How devices see a process. */
export interface ProcessOptions {
  /** Levels of its page table: 4 unless given; 5 needs CAP.FS5LP. */
  readonly levels?: 4 | 5;
  /** Devices may use supervisor privilege in it; needs ECAP.SRS. */
  readonly supervisor?: boolean;
  /** A second-stage domain that translates the addresses of the process again; needs ECAP.NEST. */
  readonly domain?: Domain;
}

/** A process for a unit to see; throws what is missing there. */
export function processFor(
  unit: UnitDriver,
  pasid: number,
  root: number,
  { levels = 4, supervisor = false, domain }: ProcessOptions,
): ProcessSpace {
  const process = new ProcessSpace(pasid, { root, levels, supervisor }, domain ?? null);
  checkProcess(unit, process);
  return process;
}

/** Whether it is the same process: a PASID has one. */
export function isSame(process: ProcessSpace, other: ProcessSpace): boolean {
  const same = (field: keyof FirstStage): boolean => process.table[field] === other.table[field];
  return same("root") && same("levels") && same("supervisor") && process.domain === other.domain;
}

function checkProcess(unit: UnitDriver, { table, domain }: ProcessSpace): void {
  const { FSTS, NEST, FS5LP, SRS, SMPWCS } = unit.capabilities;
  const { root, levels, supervisor } = table;
  const refuse = (has: number, what: string, remedy: string): void => {
    if (has === 0) throw notCapable(`${unit.name} has no ${what}`, remedy);
  };
  refuse(FSTS, "first-stage translation (ECAP.FSTS)", "map memory in a domain instead");
  // accessed and dirty are written to the page table of a running processor
  refuse(SMPWCS, "page walks that snoop (ECAP.SMPWCS)", "map memory in a domain instead");
  if (levels === 5)
    refuse(FS5LP, "5-level first stage (CAP.FS5LP)", "use a page table of 4 levels");
  if (supervisor) refuse(SRS, "supervisor requests (ECAP.SRS)", "bind without supervisor");
  if (domain !== null) refuse(NEST, "nested translation (ECAP.NEST)", "bind without domain");
  if (!Number.isSafeInteger(root) || root < 0 || root % PAGE_SIZE !== 0) {
    throw badPasid(`a page table cannot be at ${root}`, "give the address of a page");
  }
  if (domain === null) return;
  if (
    domain.format.stage !== "second" ||
    !understands(unit.capabilities, "scalable", domain.format)
  ) {
    throw badDomain(
      `${unit.name} cannot nest a process on this domain of ${domain.format.levels} levels and ` +
        `${domain.format.stage} stage`,
      'make the domain with createDomain({ stage: "second" })',
    );
  }
  if (root >= 2 ** domain.format.addressWidth) {
    throw badPasid(`the page table at ${hex(root)} is beyond the domain`, "map it in the domain");
  }
}
