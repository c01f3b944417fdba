import { describe, expect, it } from "vitest";
import { expectRefused, guestConfig, refusal, SMALL } from "./guests.ts";
import type { Case, Change } from "./guests.ts";

const SECOND_UNIT: Change = [
  "ioapics:",
  `  - { name: dmar1, base: 0xfed91000, scope: [nic0] }
ioapics:`,
];

describe("addresses", () => {
  it.each<Case>([
    [
      "units over each other",
      [SECOND_UNIT, ["0xfed91000", "0xfed90000"]],
      "0xfed90000, scope",
      /overlaps "dmar0"/,
    ],
    [
      "a unit over an I/O APIC",
      [["0xfed90000", "0xfec00000"]],
      "0xfec00000",
      /\(0xfec00000\) has 0xfec00000-0xfec00fff, which overlaps "ioapic0"/,
    ],
    ["a unit in memory", [["0xfed90000", "0x1000"]], "0x1000", /overlaps memory at 0x0-0x3ffffff/],
    [
      "a unit in the interrupt range",
      [["0xfed90000", "0xfee01000"]],
      "0xfee01000",
      /overlaps the interrupt range at 0xfee00000-0xfeefffff/,
    ],
    [
      "memory in the interrupt range",
      [["64M", "[{ base: 0, size: 64M }, { base: 0xfee00000, size: 4096 }]"]],
      "{ base: 0xfee00000",
      /memory\[1\] has 0xfee00000-0xfee00fff, which overlaps the interrupt range/,
    ],
    [
      "memory over memory",
      [["64M", "[{ base: 0, size: 64M }, { base: 4096, size: 4096 }]"]],
      "{ base: 4096",
      /overlaps memory/,
    ],
    [
      "device registers over a unit",
      [["vectors: 4", "vectors: 4, bar: 0xfed90000"]],
      "0xfed90000 }",
      /overlaps "dmar0"/,
    ],
    [
      "a unit that is not aligned",
      [["0xfed90000", "0xfed90800"]],
      "0xfed90800",
      /\(0xfed90800\) is no multiple of 0x1000; align it/,
    ],
    [
      "memory that is not aligned",
      [["64M", "67108865"]],
      "67108865",
      /\(67108865\) is no multiple of 0x1000/,
    ],
    ["an I/O APIC above 4 GiB", [["0xfec00000", "0x100000000"]], "0x100000000", /is above 4 GiB/],
    [
      "memory above the host address width",
      [["64M", "8G\nhostAddressWidth: 32"]],
      "8G",
      /ends above the 32-bit host address width/,
    ],
    [
      "no memory below 4 GiB",
      [["64M", "[{ base: 0x100000000, size: 1G }]"]],
      "[{ base",
      /has no 3 MiB in one piece below 4 GiB/,
    ],
    [
      "too little memory",
      [["64M", "8M"]],
      "8M",
      /\("8M"\) is too little for these units and devices; give \d+M/,
    ],
  ])("%s", (...given) => {
    expectRefused(given);
  });

  it("memory given as a size leaves room for registers below 4 GiB", () => {
    expect(guestConfig(["64M", "4G"]).memory).toEqual([
      { base: 0, size: 0xc000_0000 },
      { base: 2 ** 32, size: 2 ** 30 },
    ]);
  });

  it("firmware gives devices registers around those that are fixed", () => {
    const { devices } = guestConfig(["vectors: 4", "vectors: 4, bar: 0xd0000000"]);
    expect(devices.map(({ bar }) => bar)).toEqual([0xd000_0000, 0xd001_0000, 0xd002_0000]);
  });
});

describe("interrupts and workload", () => {
  it.each<Case>([
    [
      "an unknown I/O APIC",
      [["ioapic: ioapic0", "ioapic: ioapic7"]],
      "ioapic7",
      /\("ioapic7"\) is no I\/O APIC/,
    ],
    [
      "a pin that is not there",
      [["number: 5", "number: 24"]],
      "24",
      /\(24\) is no pin of "ioapic0"; give 0 to 23/,
    ],
    [
      "a pin with two devices",
      [["vectors: 2", "pin: { ioapic: ioapic0, number: 5 }"]],
      "5 } }",
      /\(5\) is driven by "disk0"/,
    ],
    [
      "no way to interrupt",
      [[", vectors: 2", ""]],
      "{ name: disk0",
      /devices\[1\] has no way to interrupt; give either/,
    ],
    [
      "two ways to interrupt",
      [["vectors: 2", "vectors: 2, pin: { ioapic: ioapic0, number: 6 }"]],
      "{ name: disk0",
      /devices\[1\] interrupts in two ways/,
    ],
    [
      "more interrupts than vectors",
      [
        ["count: 4", "count: 1"],
        ["vectors: 4", "vectors: 200"],
        ["affinityChanges: 50", "affinityChanges: 0"],
      ],
      "- { name: nic0",
      /have 203 interrupts, and 1 vCPUs have 190 vectors/,
    ],
    [
      "a unit that VT-d excludes",
      [["eim: true", "queuedInvalidation: false, eim: true"]],
      "{ queued",
      /units\[0\]\.options make no unit: EIM is 1 and IR is 0, .*VT-d 11\.4\.3.*; set IR or clear EIM/,
    ],
    [
      "transfers without a device for them",
      [
        ["kind: nic", "kind: timer"],
        ["kind: block", "kind: timer"],
        ["interrupts: 500", "interrupts: 500, transfers: 1"],
      ],
      "1,",
      /\(1\) cannot be done without a nic or block device/,
    ],
    [
      "more affinity changes than interrupts",
      [["affinityChanges: 50", "affinityChanges: 501"]],
      "501",
      /are more than the 500 interrupts/,
    ],
    ["affinity changes with one vCPU", [["count: 4", "count: 1"]], "50,", /need a second vCPU/],
  ])("%s", (...given) => {
    expectRefused(given);
  });

  it("interrupts need a device", () => {
    const text = SMALL.slice(0, SMALL.indexOf("devices:")) + "workload: { interrupts: 1 }\n";
    expect(refusal(text)).toMatch(/workload\.interrupts \(1\) cannot come without a device/);
  });
});
