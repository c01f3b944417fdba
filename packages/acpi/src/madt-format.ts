import { address, flags, reserved, uint } from "./field.ts";
import { checkMadt } from "./madt-rules.ts";
import type { Madt, MadtEntry } from "./madt.ts";
import type { Parsed } from "./problem.ts";
import { RecordList } from "./records.ts";
import type { Unknown } from "./records.ts";
import { signal } from "./signal.ts";
import { buildTable, parseTable } from "./table.ts";
import type { TableFormat } from "./table.ts";

const processorFlags = flags(4, ["ENABLED", "ONLINE_CAPABLE"]);

const entryList = new RecordList<Exclude<MadtEntry, Unknown>>(1, "interrupt controller structure", {
  LOCAL_APIC: {
    code: 0,
    layout: [
      ["uid", uint(1)],
      ["apicId", uint(1)],
      ["flags", processorFlags],
    ],
  },
  IO_APIC: {
    code: 1,
    layout: [
      ["ioApicId", uint(1)],
      [null, reserved(1)],
      ["address", uint(4)],
      ["interruptBase", uint(4)],
    ],
  },
  INTERRUPT_SOURCE_OVERRIDE: {
    code: 2,
    layout: [
      ["bus", uint(1)],
      ["source", uint(1)],
      ["interrupt", uint(4)],
      ["signal", signal],
    ],
  },
  NMI_SOURCE: {
    code: 3,
    layout: [
      ["signal", signal],
      ["interrupt", uint(4)],
    ],
  },
  LOCAL_APIC_NMI: {
    code: 4,
    layout: [
      ["uid", uint(1)],
      ["signal", signal],
      ["lint", uint(1, 1)],
    ],
  },
  LOCAL_APIC_ADDRESS_OVERRIDE: {
    code: 5,
    layout: [
      [null, reserved(2)],
      ["address", address],
    ],
  },
  LOCAL_X2APIC: {
    code: 9,
    layout: [
      [null, reserved(2)],
      ["apicId", uint(4)],
      ["flags", processorFlags],
      ["uid", uint(4)],
    ],
  },
  LOCAL_X2APIC_NMI: {
    code: 10,
    layout: [
      ["signal", signal],
      ["uid", uint(4)],
      ["lint", uint(1, 1)],
      [null, reserved(3)],
    ],
  },
});

/** Revision 5 (ACPI 6.3) is the first with ONLINE_CAPABLE. */
const FORMAT: TableFormat<Madt> = {
  name: "MADT",
  signature: "APIC",
  revision: 5,
  layout: [
    ["localApicAddress", uint(4)],
    ["flags", flags(4, ["PCAT_COMPAT"])],
    ["entries", entryList],
  ],
};

/**
 * The bytes of a MADT. Throws ERR_VIOMMU_ACPI_VALUE for a value its field can't hold,
 * ERR_VIOMMU_ACPI_RULE for a description that ACPI 5.2.12 forbids.
 */
export const buildMadt = (madt: Madt): Uint8Array =>
  buildTable(FORMAT, madt, (report) => {
    checkMadt(madt, report);
  });

/**
 * Reads a MADT, however damaged, and tells all that is wrong with it. Throws ERR_VIOMMU_ACPI when
 * signature, length or fixed part can't be read at all.
 */
export const parseMadt = (bytes: Uint8Array): Parsed<Madt> => parseTable(FORMAT, bytes, checkMadt);
