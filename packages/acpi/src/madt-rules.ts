import { show } from "./errors.ts";
import type { IoApic, LocalApic, LocalX2Apic, Madt } from "./madt.ts";
import type { Report } from "./problem.ts";

const ALL_PROCESSORS_8 = 0xff;
const ALL_PROCESSORS_32 = 0xffff_ffff;
const FIRST_REVISION_WITH_ONLINE_CAPABLE = 5;

/** Reports what ACPI 5.2.12 does not allow. Work is linear in the number of entries. */
export function checkMadt(madt: Madt, report: Report): void {
  checkProcessors(madt, report);
  checkIoApics(madt, report);
  checkInterrupts(madt, report);
}

type Processor = LocalApic | LocalX2Apic;

const isProcessor = (entry: Madt["entries"][number]): entry is Processor =>
  entry.type === "LOCAL_APIC" || entry.type === "LOCAL_X2APIC";

const isIoApic = (entry: Madt["entries"][number]): entry is IoApic => entry.type === "IO_APIC";

function checkProcessors(madt: Madt, report: Report): void {
  const revision = madt.header?.revision ?? FIRST_REVISION_WITH_ONLINE_CAPABLE;
  const apicIds = new Set<number>();
  const uids = new Set<number>();
  for (const entry of madt.entries.filter(isProcessor)) {
    if (entry.flags.includes("ONLINE_CAPABLE")) {
      if (revision < FIRST_REVISION_WITH_ONLINE_CAPABLE) {
        report(entry, `ONLINE_CAPABLE is reserved in revision ${revision}`, "use revision 5");
      }
      if (entry.flags.includes("ENABLED")) {
        report(entry, "both ENABLED and ONLINE_CAPABLE are set", "set one of them");
      }
    }
    // Firmware fills up with unusable entries, all with the same numbers.
    if (entry.flags.length === 0) continue;
    const all = entry.type === "LOCAL_APIC" ? ALL_PROCESSORS_8 : ALL_PROCESSORS_32;
    if (entry.apicId === all) {
      report(entry, `APIC id ${show(all)} means all processors`, "give it an id of its own");
    }
    if (apicIds.has(entry.apicId)) {
      report(entry, `another processor has APIC id ${show(entry.apicId)}`, "number them apart");
    }
    if (uids.has(entry.uid)) {
      report(entry, `another processor has UID ${show(entry.uid)}`, "number them apart");
    }
    apicIds.add(entry.apicId);
    uids.add(entry.uid);
  }
}

function checkIoApics(madt: Madt, report: Report): void {
  const seen: Record<"ioApicId" | "address" | "interruptBase", Set<number>> = {
    ioApicId: new Set(),
    address: new Set(),
    interruptBase: new Set(),
  };
  for (const entry of madt.entries.filter(isIoApic)) {
    for (const [key, values] of Object.entries(seen) as [keyof typeof seen, Set<number>][]) {
      const value = entry[key];
      if (values.has(value)) {
        report(entry, `another I/O APIC has ${key} ${show(value)}`, "give each its own");
      }
      values.add(value);
    }
  }
}

function checkInterrupts(madt: Madt, report: Report): void {
  const uids = new Set(madt.entries.filter(isProcessor).map((entry) => entry.uid));
  const sources = new Set<number>();
  let addressOverrides = 0;
  for (const entry of madt.entries) {
    if (entry.type === "INTERRUPT_SOURCE_OVERRIDE") {
      if (entry.bus !== 0) report(entry, `bus ${show(entry.bus)} is not ISA`, "set it to 0");
      if (sources.has(entry.source)) {
        report(entry, `ISA interrupt ${entry.source} is overridden twice`, "keep one of them");
      }
      sources.add(entry.source);
    } else if (entry.type === "LOCAL_APIC_NMI" || entry.type === "LOCAL_X2APIC_NMI") {
      const all = entry.type === "LOCAL_APIC_NMI" ? ALL_PROCESSORS_8 : ALL_PROCESSORS_32;
      if (entry.uid !== all && !uids.has(entry.uid)) {
        report(
          entry,
          `no processor has UID ${show(entry.uid)}`,
          `name one, or ${show(all)} for all`,
        );
      }
    } else if (entry.type === "LOCAL_APIC_ADDRESS_OVERRIDE") {
      addressOverrides++;
      if (addressOverrides > 1) {
        report(entry, "a second address override", "keep one of them");
      }
    }
  }
}
