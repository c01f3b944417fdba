import { describe, expect, it } from "vitest";
import { changed, guestConfig, refusal, SMALL } from "./guests.ts";
import type { Change } from "./guests.ts";

/** `at`: what stands at the place that the message names. */
type Case = readonly [rule: string, changes: readonly Change[], at: string, message: RegExp];

const SECOND_UNIT: Change = [
  "ioapics:",
  `  - { name: dmar1, base: 0xfed91000, scope: [nic0] }
ioapics:`,
];
const BRIDGE: Change = [
  "ioapics:",
  `bridges:\n  - { name: port0, address: "00:1c.0", buses: 01-02 }\nioapics:`,
];
const NO_UNITS: Change = [SMALL.slice(SMALL.indexOf("units:"), SMALL.indexOf("ioapics:")), ""];

function expectRefused([, changes, at, message]: Case): void {
  const text = changed(...changes);
  const refused = refusal(text);
  expect(refused).toMatch(message);
  const [, line, column] = /^ERR_VIOMMU_CONFIG_RULE: guest\.yaml:(\d+):(\d+): /.exec(refused)!;
  const found = text.split("\n")[Number(line) - 1]!.slice(Number(column) - 1);
  expect(found.slice(0, at.length)).toBe(at);
  expect(refused).toMatch(/; [a-z]/); // a remedy
  expect(refused).not.toContain("\n");
}

describe("APIC ids", () => {
  it.each<Case>([
    [
      "more than 255 vCPUs without EIM",
      [
        ["count: 4", "count: 256"],
        ["eim: true", "eim: false"],
      ],
      "false",
      /units\[0\]\.options\.eim \(false\) keeps interrupts of "dmar0" at APIC ids up to 254, and the guest needs APIC id 255; set eim to true/,
    ],
    [
      "more than 255 vCPUs without interrupt remapping in every unit",
      [
        ["count: 4", "count: 288"],
        ["eim: true", "interruptRemapping: false"],
      ],
      "false",
      /interruptRemapping \(false\) .* 287; set interruptRemapping to true/,
    ],
    [
      "more than 255 vCPUs without any unit",
      [["count: 4", "count: 288"], NO_UNITS],
      "288",
      /vcpus\.count \(288\) needs APIC id 287, .*255 vCPUs are the limit; add a unit with EIM/,
    ],
    [
      "more than extended destination ids can name",
      [["count: 4", "count: 32769, extendedDestinationId: true"], NO_UNITS],
      "32769",
      /needs APIC id 32768, and extended destination ids end at 32767/,
    ],
    [
      "more than xAPIC ids",
      [["count: 4", "apicIds: [0, 255], apicMode: xapic"]],
      "[0, 255]",
      /vcpus\.apicIds needs APIC id 255, and xAPIC ids end at 254; set vcpus\.apicMode to "x2apic"/,
    ],
    [
      "an id twice",
      [["count: 4", 'apicIds: ["0-3", 2]']],
      "2]",
      /vcpus\.apicIds\[1\] \(2\) has APIC id 2 again; give each vCPU its own/,
    ],
    [
      "another number of vCPUs than ids",
      [["count: 4", 'count: 4, apicIds: ["0-4"]']],
      "4,",
      /vcpus\.count \(4\) is not the 5 of vcpus\.apicIds/,
    ],
    ["too many ids", [["count: 4", 'apicIds: ["0-9007199254740990"]']], '["0-9', /give 1 to 65536/],
    ["no vCPU", [["count: 4", "apicMode: x2apic"]], "vcpus: {", /vcpus\.count is missing/],
  ])("%s", (...given) => {
    expectRefused(given);
  });

  it("255 vCPUs need no unit, 32,768 none with extended destination ids", () => {
    expect(guestConfig(["count: 4", "count: 255"], NO_UNITS).processors.apicIds).toHaveLength(255);
    const extended = "count: 32768, extendedDestinationId: true";
    expect(guestConfig(["count: 4", extended], NO_UNITS).processors.apicIds.at(-1)).toBe(32_767);
  });
});

describe("names and numbers", () => {
  it.each<Case>([
    [
      "a name twice",
      [["name: disk0", "name: ioapic0"]],
      "ioapic0, kind: block",
      /\("ioapic0"\) is the name of ioapics\[0\]/,
    ],
    [
      "a bus address twice",
      [["00:03.0", "00:02.0"]],
      '"00:02.0", vectors: 2',
      /is the bus address of "nic0" already/,
    ],
    [
      "an I/O APIC on the bus address of a device",
      [["ff:00.0", "00:02.0"]],
      '"00:02.0", vectors: 4',
      /is the bus address of "ioapic0"/,
    ],
    [
      "an I/O APIC id twice",
      [
        [
          "devices:",
          '  - { name: ioapic1, id: 0, base: 0xfec01000, address: "ff:01.0" }\ndevices:',
        ],
      ],
      "0, base: 0xfec01000",
      /ioapics\[1\]\.id \(0\) is the id of "ioapic0" already/,
    ],
    [
      "buses that do not lie behind a bridge",
      [BRIDGE, ["01-02", "00-02"]],
      "00-02",
      /do not lie behind bus 0/,
    ],
    [
      "a bus behind two bridges",
      [BRIDGE, ["ioapics:", '  - { name: port1, address: "00:1d.0", buses: 02-03 }\nioapics:']],
      "02-03",
      /has bus 2, which is behind "port0"/,
    ],
    [
      "a bridge behind a bridge",
      [BRIDGE, ["ioapics:", '  - { name: port1, address: "02:1d.0", buses: 05-06 }\nioapics:']],
      '"02:1d.0"',
      /is behind "port0"; put bridges on a bus of the root/,
    ],
  ])("%s", (...given) => {
    expectRefused(given);
  });
});

describe("scopes (VT-d 8.3)", () => {
  it.each<Case>([
    [
      "an unknown name",
      [["[ioapic0]", "[ioapic0, nic9]"]],
      "nic9",
      /units\[0\]\.scope\[1\] \("nic9"\) is no device/,
    ],
    [
      "a device under two units",
      [SECOND_UNIT, ["ioapics:", "  - { name: dmar2, base: 0xfed92000, scope: [nic0] }\nioapics:"]],
      "nic0] }",
      /\("nic0"\) is under two units, "dmar1" and "dmar2"; name it once/,
    ],
    [
      "a device under two units, one by its bridge",
      [
        SECOND_UNIT,
        BRIDGE,
        ["ioapics:", "ioapics:"],
        ['"00:02.0"', '"01:02.0"'],
        ["includeAll: true", "includeAll: false"],
        ["[ioapic0]", "[ioapic0, port0, disk0, timer0]"],
      ],
      '"01:02.0"',
      /is under two units: "dmar1" names it, and "dmar0" the bridge "port0" above it/,
    ],
    [
      "an I/O APIC outside every scope",
      [["scope: [ioapic0]", "scope: []"]],
      "ioapic0, id",
      /\("ioapic0"\) is in the scope of no unit/,
    ],
    [
      "a device under no unit",
      [["includeAll: true", "includeAll: false"]],
      '"00:02.0"',
      /\("00:02\.0"\) is under no unit/,
    ],
    [
      "a segment without a unit",
      [["00:03.0", "0001:00:03.0"]],
      '"0001:00:03.0"',
      /is in segment 1, which has no unit/,
    ],
    [
      "a name of another segment",
      [SECOND_UNIT, ["0xfed91000,", "0xfed91000, segment: 1,"]],
      "nic0]",
      /\("nic0"\) is in segment 0, and "dmar1" in segment 1/,
    ],
    [
      "a PCI device beside includeAll",
      [["[ioapic0]", "[ioapic0, nic0]"]],
      "nic0]",
      /"dmar0", which has includeAll/,
    ],
    [
      "a device on a bus where no path leads",
      [SECOND_UNIT, BRIDGE, ['"00:02.0"', '"02:02.0"']],
      "nic0]",
      /is on bus 2, where no path over "port0" leads; name the bridge, or put the device on bus 1/,
    ],
    [
      "includeAll twice",
      [SECOND_UNIT, ["scope: [nic0]", "includeAll: true"]],
      "true }",
      /"dmar0" has all of segment 0 already/,
    ],
  ])("%s", (...given) => {
    expectRefused(given);
  });

  it("devices go to the unit that names them, then their bridge's, then that with the rest", () => {
    const { devices } = guestConfig(
      SECOND_UNIT,
      BRIDGE,
      ["scope: [nic0]", "scope: [port0]"],
      ['"00:03.0"', '"02:03.0"'],
    );
    expect(devices.map(({ name, unit }) => `${name} ${unit}`)).toEqual([
      "nic0 dmar0",
      "disk0 dmar1",
      "timer0 dmar0",
    ]);
  });
});

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
      "0xfec00000, address",
      /\(0xfec00000\) has 0xfec00000-0xfec00fff, which overlaps "dmar0"/,
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
