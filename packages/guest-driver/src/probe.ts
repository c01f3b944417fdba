import type { GuestMemory } from "@viommu/plugin";
import { acpiTables } from "./acpi-tables.ts";
import type { AcpiSource } from "./acpi-tables.ts";
import { Attachments } from "./attachments.ts";
import { commonFormat } from "./domain-format.ts";
import type { TableMode } from "./domain-format.ts";
import { IommuDriver } from "./driver.ts";
import { badInterrupt, memoryFailed, notCapable } from "./errors.ts";
import type { ApicAddressing, InterruptTarget } from "./interrupt-destination.ts";
import type { MmioBus } from "./mmio-bus.ts";
import { PageAllocator } from "./page-allocator.ts";
import type { MemoryRange } from "./page-allocator.ts";
import { answering } from "./page-request-answers.ts";
import type { PageRequestHandler } from "./page-request-answers.ts";
import { RegisterWindow } from "./register-window.ts";
import { TableMemory } from "./table-memory.ts";
import { Topology } from "./topology.ts";
import type { PciBridges, UnitDescription } from "./topology.ts";
import { UnitDriver } from "./unit-driver.ts";

/** What a guest tells its driver. Only the first three are needed. */
export interface ProbeOptions {
  readonly bus: MmioBus;
  readonly memory: GuestMemory;
  /** Guest memory that belongs to the driver: its tables, queues and status words are put there. */
  readonly pages: MemoryRange;
  /** Where the ACPI tables are; without it the root pointer is looked for where a BIOS puts it. */
  readonly acpi?: AcpiSource;
  /** Needed only when the DMAR table leads over bridges. */
  readonly pci?: PciBridges;
  /** x2APIC unless given, if all units have EIM and firmware does not opt out. */
  readonly apicMode?: ApicAddressing["apicMode"];
  /** Physical unless given. */
  readonly destinationMode?: ApicAddressing["destinationMode"];
  /** true: required. false: off. Not given: if every unit and I/O APIC can take part, as Linux does. */
  readonly interruptRemapping?: boolean;
  /** true: required of every unit. false: off. Not given: where SAGAW is not 0. */
  readonly dmaRemapping?: boolean;
  /** Legacy unless given; scalable mode is required of every unit that remaps DMA (ECAP.SMTS). */
  readonly mode?: TableMode;
  /** Answers page requests of devices, in scalable mode; without it they are invalid. */
  readonly onPageRequest?: PageRequestHandler;
  /** log2 of the pages of each page request queue, 0 to 7: 4, which is 2048 requests, unless given. */
  readonly pageRequestOrder?: number;
  /** Where the units' page request interrupts go; without it, page requests are polled. */
  readonly pageRequestEvent?: InterruptTarget;
  /** Strict unless given; units with caching mode are always served strictly, as Linux does. */
  readonly unmapping?: "strict" | "lazy";
  /** Lazy: mappings that wait for one flush; 256 unless given. */
  readonly flushThreshold?: number;
  /** What another driver has left in use: switched off unless given. */
  readonly predecessor?: "disable" | "take-over";
  /** Entries of each interrupt remapping table, a power of two up to 65536, which is the default. */
  readonly interruptEntries?: number;
  /** Where the units' fault interrupts go; without it, faults are polled. */
  readonly faultEvent?: InterruptTarget;
  /** Called while the driver waits for a unit: the place to run pending work of units. */
  readonly poll?: () => void;
  /** Looks at a register before a unit is given up; 100,000 unless given. */
  readonly pollLimit?: number;
}

interface Found {
  readonly description: UnitDescription;
  readonly registers: RegisterWindow;
}

const LARGEST_TABLE = 65_536;
const FLUSH_THRESHOLD = 256;
const POLL_LIMIT = 100_000;
/** As Linux has it. */
const PAGE_REQUEST_ORDER = 4;
const LARGEST_PAGE_REQUEST_ORDER = 7;
/** From this major version on a unit has no register-based invalidation (VT-d 6.5.1). */
const QUEUE_ONLY = 6;

/**
 * Finds the remapping units of a guest through its DMAR table, and checks that they can be driven.
 * Writes no register; `start` of the driver does.
 *
 * Throws ERR_VIOMMU_DRIVER_NO_UNIT, _SCOPE, _CAPABILITY, _INTERRUPT, _MEMORY; ERR_VIOMMU_ACPI on
 * bytes that are no table.
 */
export function probe(options: ProbeOptions): IommuDriver {
  const memory = new TableMemory(options.memory);
  const pages = new PageAllocator(memory, options.pages);
  const { dmar, madt } = acpiTables(memory, options.acpi ?? null);
  const topology = new Topology(dmar, madt, options.pci ?? null);
  const found = topology.units.map((description) => ({
    description,
    registers: new RegisterWindow(options.bus, description.registerBase),
  }));
  for (const unit of found) checkUnit(unit, options);

  const interruptObstacle = findInterruptObstacle(topology, found, options);
  const addressing = chooseAddressing(topology, found, options, interruptObstacle === null);
  const polling = {
    limit: options.pollLimit ?? POLL_LIMIT,
    poll: options.poll ?? ((): void => undefined),
  };
  const mode = options.mode ?? "legacy";
  const attachments = new Attachments();
  const answerPageRequests = answering(attachments, options.onPageRequest ?? refuseAll);
  const pageRequestOrder = queueOrder(options);
  const units = found.map(
    (unit) =>
      new UnitDriver({
        ...unit,
        memory,
        pages,
        polling,
        addressing,
        hostAddressWidth: topology.hostAddressWidth,
        translates: options.dmaRemapping !== false && canTranslate(unit, mode),
        mode,
        pageRequestOrder,
        answerPageRequests,
        interruptEntries: interruptObstacle === null ? tableSize(options) : 0,
        predecessor: options.predecessor ?? "disable",
      }),
  );
  const caching = units.some((unit) => unit.capabilities.CM !== 0);
  return new IommuDriver({
    topology,
    units,
    memory,
    pages,
    mode,
    attachments,
    addressing,
    interruptObstacle,
    unmapping: options.unmapping ?? "strict",
    flushThreshold: caching ? null : (options.flushThreshold ?? FLUSH_THRESHOLD),
    faultEvent: options.faultEvent ?? null,
    pageRequestEvent: options.pageRequestEvent ?? null,
  });
}

const canTranslate = ({ registers }: Found, mode: TableMode): boolean =>
  commonFormat([registers.capabilities], mode) !== null;

const refuseAll: PageRequestHandler = () => "invalid";

function checkUnit(unit: Found, options: ProbeOptions): void {
  const { name } = unit.description;
  const { QI, IR, SMTS } = unit.registers.capabilities;
  const { mode = "legacy" } = options;
  const translates = canTranslate(unit, mode);
  const major = (unit.registers.version >> 4) & 15;
  if (QI === 0 && IR !== 0) {
    throw notCapable(
      `${name} has interrupt remapping without an invalidation queue (ECAP.IR, ECAP.QI)`,
      "give it a queue: VT-d 11.4.3 demands one",
    );
  }
  if (QI === 0 && major >= QUEUE_ONLY) {
    throw notCapable(
      `${name} is of major version ${major} and has no invalidation queue (ECAP.QI)`,
      "give it a queue: it has no other way to invalidate (VT-d 6.5.1)",
    );
  }
  if (mode === "scalable" && SMTS === 0 && canTranslate(unit, "legacy")) {
    throw notCapable(`${name} has no scalable mode (ECAP.SMTS)`, 'use mode "legacy"');
  }
  if (options.dmaRemapping === true && !translates) {
    throw notCapable(
      `${name} cannot remap DMA in ${mode} mode: it has no address width (CAP.SAGAW)`,
      "give it one, or do not require DMA remapping",
    );
  }
  if (!translates && IR === 0) {
    throw notCapable(
      `${name} remaps neither DMA (CAP.SAGAW is 0) nor interrupts (ECAP.IR is 0)`,
      "take it out of the DMAR table",
    );
  }
}

/** Interrupts are remapped everywhere or nowhere; the reason why not, or null. */
function findInterruptObstacle(
  topology: Topology,
  units: readonly Found[],
  { interruptRemapping }: ProbeOptions,
): string | null {
  if (interruptRemapping === false) return "it is switched off";
  const incapable = units.find(({ registers }) => registers.capabilities.IR === 0);
  let obstacle: string | null = null;
  if (!topology.interruptRemapping) obstacle = "the DMAR table does not offer it (INTR_REMAP)";
  else if (incapable !== undefined) obstacle = `${incapable.description.name} has no ECAP.IR`;
  else if (topology.unscopedIoApics.length > 0) {
    obstacle = `I/O APIC ${topology.unscopedIoApics.join(", ")} is in the scope of no unit`;
  }
  if (obstacle !== null && interruptRemapping === true) {
    throw notCapable(
      `interrupts cannot be remapped: ${obstacle}`,
      "correct it, or do not require it",
    );
  }
  return obstacle;
}

function chooseAddressing(
  topology: Topology,
  units: readonly Found[],
  options: ProbeOptions,
  remapping: boolean,
): ApicAddressing {
  const without = units.find(({ registers }) => registers.capabilities.EIM === 0);
  const byDefault =
    remapping && without === undefined && !topology.x2apicOptOut ? "x2apic" : "xapic";
  const { apicMode = byDefault, destinationMode = "physical" } = options;
  if (remapping && apicMode === "x2apic" && without !== undefined) {
    throw notCapable(
      `x2APIC mode needs 32-bit destinations, which ${without.description.name} has not (ECAP.EIM)`,
      "give it EIM, or keep the guest in xAPIC mode with ids up to 254",
    );
  }
  const demanding = units.find(({ registers }) => registers.capabilities.EIMER !== 0);
  if (remapping && apicMode === "xapic" && demanding !== undefined) {
    throw notCapable(
      `${demanding.description.name} remaps interrupts in x2APIC mode only (ECAP.EIMER)`,
      'use apicMode "x2apic"',
    );
  }
  return { apicMode, destinationMode };
}

function queueOrder({ pageRequestOrder = PAGE_REQUEST_ORDER }: ProbeOptions): number {
  const isPossible =
    Number.isInteger(pageRequestOrder) &&
    pageRequestOrder >= 0 &&
    pageRequestOrder <= LARGEST_PAGE_REQUEST_ORDER;
  if (isPossible) return pageRequestOrder;
  throw memoryFailed(
    `a page request queue of 2^${pageRequestOrder} pages is not possible (PQA.PQS)`,
    "give an order from 0 to 7",
  );
}

function tableSize({ interruptEntries = LARGEST_TABLE }: ProbeOptions): number {
  const log2 = Math.log2(interruptEntries);
  if (Number.isInteger(log2) && log2 >= 1 && log2 <= 16) return interruptEntries;
  throw badInterrupt(
    `a table of ${interruptEntries} entries is not possible (IRTA.S)`,
    "give a power of two from 2 to 65536",
  );
}
