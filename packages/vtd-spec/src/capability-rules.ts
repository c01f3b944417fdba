import type { CapabilityName } from "./layout.ts";
import { CAP } from "./registers-capability.ts";

/** What VT-d 5.10 says about the value of one capability. */
export interface CapabilityRule {
  readonly capability: CapabilityName;
  /** The capability must be 0 if one of these is 0. */
  readonly needs?: readonly CapabilityName[];
  /** The capability must be 0 if one of these is not 0. */
  readonly excludes?: readonly CapabilityName[];
  /** All values that are not reserved. */
  readonly values?: readonly number[];
  /** Chapter with the rule. */
  readonly chapter: string;
  /** The rule in words. */
  readonly text: string;
}

/** A capability, and those it needs. */
const NEEDS: readonly (readonly [CapabilityName, ...CapabilityName[]])[] = [
  ["FS5LP", "FSTS"],
  ["FS1GP", "FSTS"],
  ["PI", "IR"],
  ["DT", "QI"],
  ["IR", "QI"],
  ["EIM", "IR"],
  ["MHMV", "IR"],
  ["SMTS", "QI"],
  ["MTS", "SMTS"],
  ["NEST", "SMTS", "FSTS", "SSTS"],
  ["PRS", "DT", "SMTS"],
  ["SRS", "SMTS"],
  ["NWFS", "DT"],
  ["EAFS", "FSTS", "SMPWCS"],
  ["PSS", "SMTS"],
  ["PASID", "SMTS"],
  ["DIT", "DT"],
  ["PDS", "DT"],
  ["SSADS", "SMPWCS"],
  ["FSTS", "SMTS"],
  ["SMPWCS", "SMTS"],
  ["RPS", "SMTS"],
  ["PMS", "ECMDS"],
  ["RPRIVS", "SRS"],
  ["HPTS", "SMTS", "DT"],
  ["PTRS", "DT", "PASID"],
  ["SSIRWS", "SSTS"],
  ["SMS", "PRS"],
  ["HPT1GPS", "HPTS"],
  ["EIMER", "EIM"],
  ["IRREQ", "IR"],
];

const chapterOf = (capability: CapabilityName): string =>
  CAP.fields.some((field) => field.name === capability) ? "11.4.2" : "11.4.3";

/** Every dependency between capabilities, and every range of values, that VT-d 5.10 states. */
export const CAPABILITY_RULES: readonly CapabilityRule[] = [
  ...NEEDS.map(([capability, ...needs]) => ({
    capability,
    needs,
    chapter: chapterOf(capability),
    text: `${capability} must be 0 unless ${needs.join(" and ")}${needs.length > 1 ? " are" : " is"} set`,
  })),
  {
    capability: "RWBF",
    excludes: ["SMTS"],
    chapter: "11.4.2",
    text: "RWBF must be 0 if SMTS is 1",
  },
  {
    capability: "ND",
    values: [0, 1, 2, 3, 4, 5, 6],
    chapter: "11.4.2",
    text: "ND is at most 6: domain-ids of 16 bits",
  },
  {
    capability: "SAGAW",
    values: [0, 2, 4, 6, 8, 10, 12, 14],
    chapter: "11.4.2",
    text: "SAGAW has bits 1 (39), 2 (48) and 3 (57) only",
  },
  {
    capability: "SSLPS",
    values: [0, 1, 3],
    chapter: "11.4.2",
    text: "SSLPS offers 1-GByte pages only together with 2-MByte pages",
  },
];
