import { scopeList } from "./device-scope.ts";
import { checkDmar } from "./dmar-rules.ts";
import type { Dmar, DmarStructure } from "./dmar.ts";
import { badValue } from "./errors.ts";
import { address, flags, reserved, uint } from "./field.ts";
import type { Field } from "./field.ts";
import type { Madt } from "./madt.ts";
import { objectName } from "./object-name.ts";
import type { Parsed } from "./problem.ts";
import { RecordList } from "./records.ts";
import type { Unknown } from "./records.ts";
import { buildTable, parseTable } from "./table.ts";
import type { TableFormat } from "./table.ts";

const MAX_ADDRESS_WIDTH = 64;

/** The field holds the width less one. */
const addressWidth: Field<number> = {
  size: 1,
  read(cursor, end) {
    return uint(1, MAX_ADDRESS_WIDTH - 1).read(cursor, end) + 1;
  },
  write(out, value, name) {
    if (!Number.isInteger(value) || value < 1 || value > MAX_ADDRESS_WIDTH) {
      throw badValue(name, value, `a number of bits from 1 to ${MAX_ADDRESS_WIDTH}`);
    }
    out.uint(1, value - 1);
  },
};

const structureList = new RecordList<Exclude<DmarStructure, Unknown>>(2, "remapping structure", {
  DRHD: {
    code: 0,
    layout: [
      ["flags", flags(1, ["INCLUDE_PCI_ALL"])],
      ["size", uint(1, 15)],
      ["segment", uint(2)],
      ["registerBase", address],
      ["scopes", scopeList],
    ],
  },
  RMRR: {
    code: 1,
    layout: [
      [null, reserved(2)],
      ["segment", uint(2)],
      ["base", address],
      ["limit", address],
      ["scopes", scopeList],
    ],
  },
  ATSR: {
    code: 2,
    layout: [
      ["flags", flags(1, ["ALL_PORTS"])],
      [null, reserved(1)],
      ["segment", uint(2)],
      ["scopes", scopeList],
    ],
  },
  RHSA: {
    code: 3,
    layout: [
      [null, reserved(4)],
      ["registerBase", address],
      ["proximityDomain", uint(4)],
    ],
  },
  ANDD: {
    code: 4,
    layout: [
      [null, reserved(3)],
      ["deviceNumber", uint(1)],
      ["objectName", objectName],
    ],
  },
  SATC: {
    code: 5,
    layout: [
      ["flags", flags(1, ["ATC_REQUIRED"])],
      [null, reserved(1)],
      ["segment", uint(2)],
      ["scopes", scopeList],
    ],
  },
  SIDP: {
    code: 6,
    layout: [
      [null, reserved(2)],
      ["segment", uint(2)],
      ["scopes", scopeList],
    ],
  },
});

const FORMAT: TableFormat<Dmar> = {
  name: "DMAR",
  signature: "DMAR",
  revision: 1,
  layout: [
    ["hostAddressWidth", addressWidth],
    ["flags", flags(1, ["INTR_REMAP", "X2APIC_OPT_OUT", "DMA_CTRL_PLATFORM_OPT_IN_FLAG"])],
    [null, reserved(10)],
    ["structures", structureList],
  ],
};

/**
 * The bytes of a DMAR table. With the MADT of the same machine, the I/O APICs of both must agree.
 * Throws ERR_VIOMMU_ACPI_VALUE for a value its field can't hold, ERR_VIOMMU_ACPI_RULE for a
 * description that VT-d chapter 8 forbids.
 */
export const buildDmar = (dmar: Dmar, madt?: Madt): Uint8Array =>
  buildTable(FORMAT, dmar, (report) => {
    checkDmar(dmar, madt, report);
  });

/**
 * Reads a DMAR table, however damaged, and tells all that is wrong with it. With the MADT of the
 * same machine, the I/O APICs of both are compared. Throws ERR_VIOMMU_ACPI when signature, length
 * or fixed part can't be read at all.
 */
export const parseDmar = (bytes: Uint8Array, madt?: Madt): Parsed<Dmar> =>
  parseTable(FORMAT, bytes, (dmar, report) => {
    checkDmar(dmar, madt, report);
  });
