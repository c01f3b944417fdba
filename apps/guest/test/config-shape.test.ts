import { describe, expect, it } from "vitest";
import { parseGuest } from "../src/config/load.ts";
import { changed, guestConfig, refusal, SMALL } from "./guests.ts";

describe("keys and values", () => {
  it.each<[string, readonly [string, string], string]>([
    [
      "a wrong type",
      ["count: 4", "count: four"],
      'guest.yaml:2:17: vcpus.count ("four") is not possible; give a whole number from 1 to 65536',
    ],
    [
      "a number out of range",
      ["vectors: 4", "vectors: 257"],
      "guest.yaml:13:59: devices[0].vectors (257) is not possible; give a whole number from 1 to 256",
    ],
    [
      "a fraction",
      ["count: 4", "count: 1.5"],
      "guest.yaml:2:17: vcpus.count (1.5) is not possible; give a whole number from 1 to 65536",
    ],
    [
      "an unknown key",
      ["count: 4", "cuont: 4"],
      "guest.yaml:2:10: vcpus.cuont is no key here; use one of count, apicIds, apicMode, extendedDestinationId",
    ],
    ["a missing key", ["name: small\n", ""], "guest.yaml:1:1: name is missing; add it"],
    [
      "a missing key of an item",
      ["kind: nic, ", ""],
      "guest.yaml:13:5: devices[0].kind is missing; add it",
    ],
    [
      "an unknown word",
      ["kind: nic", "kind: nics"],
      'guest.yaml:13:25: devices[0].kind ("nics") is not known; give nic or block or timer',
    ],
    [
      "a list that is none",
      ["scope: [ioapic0]", "scope: ioapic0"],
      'guest.yaml:8:12: units[0].scope ("ioapic0") is no list; give one, with a - in front of each item',
    ],
    [
      "a size that is none",
      ["64M", "64X"],
      'guest.yaml:3:9: memory ("64X") is no size; give bytes, or 512M, 4G',
    ],
    [
      "a bus address that is none",
      ["00:02.0", "00:20.0"],
      'guest.yaml:13:39: devices[0].address ("00:20.0") is no bus address; give one as "00:02.0", or "0001:00:02.0" in segment 1',
    ],
    [
      "an unknown option of a unit",
      ["eim: true", "emi: true"],
      "guest.yaml:9:16: units[0].options.emi is no key here; use one of version,",
    ],
    [
      "a host address width of one unit",
      ["eim: true", "hostAddressWidth: 39"],
      "guest.yaml:9:16: units[0].options.hostAddressWidth is no key here",
    ],
  ])("%s", (_, change, message) => {
    const text = refusal(changed(change));
    expect(text.slice(0, 19 + message.length)).toBe(`ERR_VIOMMU_CONFIG: ${message}`);
    expect(text).not.toContain("\n");
  });

  it("what is no map at all", () => {
    for (const text of ["", "[1, 2]", "guest", "~"]) {
      expect(refusal(text)).toMatch(/^ERR_VIOMMU_CONFIG: guest\.yaml(:1:1)?: /);
    }
  });

  it("sizes, addresses and ranges are read as people write them", () => {
    const guest = guestConfig(
      ["64M", "1 GiB"],
      ["count: 4", 'apicIds: [8, "16-18"]'],
      ["00:02.0", "3f:1F.7"],
    );
    expect(guest.memory).toEqual([{ base: 0, size: 2 ** 30 }]);
    expect(guest.processors.apicIds).toEqual([8, 16, 17, 18]);
    expect(guest.devices[0]!.address).toEqual({ segment: 0, sourceId: 0x3fff });
  });
});

describe("YAML", () => {
  it.each<[string, string, string]>([
    ["a bracket without its partner", SMALL.replace("count: 4 }", "count: 4"), "guest.yaml:3:1: "],
    ["a key twice", `${SMALL}name: again\n`, "guest.yaml:17:1: Map keys must be unique"],
    ["an alias that is not there", SMALL.replace("64M", "*size"), "guest.yaml:"],
    ["a tab as indentation", SMALL.replace("  - name: dmar0", "\t- name: dmar0"), "guest.yaml:5:"],
  ])("%s", (_, text, start) => {
    const message = refusal(text);
    expect(message).toMatch(
      /^ERR_VIOMMU_CONFIG_SYNTAX: guest\.yaml:\d+:\d+: [^\n]+; correct the YAML there$/,
    );
    expect(message).toContain(start);
  });

  it("aliases that grow without bound are refused", () => {
    const levels = Array.from({ length: 9 }, (_, i) => {
      const item = i === 0 ? "x" : `*a${i - 1}`;
      return `a${i}: &a${i} [${Array(9).fill(item).join(", ")}]`;
    });
    expect(refusal(levels.join("\n"))).toMatch(/^ERR_VIOMMU_CONFIG_SYNTAX: /);
  });
});

describe("values from the command line", () => {
  const vcpus = (value: number) => [{ path: ["vcpus", "count"], value }];

  it("replace those of the file, and are told without a line when they are wrong", () => {
    expect(parseGuest("guest.yaml", SMALL, vcpus(9)).processors.apicIds).toHaveLength(9);
    expect(() => parseGuest("guest.yaml", SMALL, vcpus(0))).toThrow(
      "guest.yaml: vcpus.count (0) is not possible",
    );
  });

  it("a configuration with listed APIC ids keeps its number of vCPUs", () => {
    const listed = changed(["count: 4", 'apicIds: ["0-3"]']);
    expect(() => parseGuest("guest.yaml", listed, vcpus(9))).toThrow(
      "vcpus.count (9) is not the 4 of vcpus.apicIds; leave out one of them",
    );
  });
});
