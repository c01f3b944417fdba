import { describe, expect, it } from "vitest";
import { expectRefused, guestConfig, SMALL } from "./guests.ts";
import type { Case, Change } from "./guests.ts";

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
