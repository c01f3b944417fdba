import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildDmar } from "@viommu/acpi";
import { describe, expect, it } from "vitest";
import type { GuestConfig } from "../src/config/guest-config.ts";
import { parseGuest } from "../src/config/load.ts";
import { busAddressText } from "../src/config/values.ts";
import { isXlFile } from "../src/config/xl-text.ts";
import { dmarOf, madtOf } from "../src/machine/acpi-tables.ts";
import { command, withFolder } from "./command.ts";

const ROOT = new URL("../../../", import.meta.url);
const EXAMPLE = fileURLToPath(new URL("examples/xen-guest.cfg", ROOT));
const FIXTURES = fileURLToPath(new URL("fixtures/xl/", ROOT));

const START = "name='g'; type='hvm'; memory=128; vcpus=2\n";
const VIF = "vif=['']\n";
const VIOMMU = "viommu=['type=intel_vtd']\n";

const guest = (text: string, start = START): GuestConfig => parseGuest("g.cfg", start + text);

const unitOf = (options: string) => guest(`viommu=['type=intel_vtd,${options}']`).units[0]!;

/** Code and message of what a text is refused with. */
function refusal(text: string, start = START): string {
  try {
    guest(text, start);
    return "accepted";
  } catch (error) {
    const { code, message } = error as Error & { code: string };
    return `${code}: ${message}`;
  }
}

/** Name, place and interrupt of each device. */
function devices(text: string, start = START): string[] {
  return guest(text, start).devices.map(({ name, kind, address, interrupt }) => {
    const by = interrupt.kind === "pin" ? `pin ${interrupt.pin}` : `${interrupt.vectors} vectors`;
    return `${name} ${kind} ${busAddressText(address)} ${by}`;
  });
}

describe("kind of a configuration file", () => {
  it.each<[string, string, boolean]>([
    ["a.cfg", "name: x", true],
    ["A.CFG", "", true],
    ["a.yaml", "name = 'x'", false],
    ["a.yml", "name = 'x'", false],
    ["a", "# a guest\n\n name = 'x'", true],
    ["a", "vif += []", true],
    ["a", "name: x", false],
    ["a.conf", "", false],
  ])("%s with %j", (file, text, expected) => {
    expect(isXlFile(file, text)).toBe(expected);
  });
});

describe("the DMAR table of a domain", () => {
  // Xen series V4: 72 bytes, revision 1, 39 bits, INTR_REMAP, one DRHD with INCLUDE_PCI_ALL at
  // fed90000h with I/O APIC 1 at ff:00.0
  const body = [
    ...[38, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ...[0, 0, 24, 0, 1, 0, 0, 0, 0x00, 0x00, 0xd9, 0xfe, 0, 0, 0, 0],
    ...[3, 8, 0, 0, 1, 0xff, 0, 0],
  ];

  it.each(["hvm", "pvh"])("is the one that libxl builds, for %s alike", (type) => {
    const config = guest(`type='${type}'\n${VIOMMU}`);
    const bytes = buildDmar(dmarOf(config)!, madtOf(config));
    expect(bytes.subarray(0, 4)).toEqual(new TextEncoder().encode("DMAR"));
    expect([...bytes.subarray(4, 9)]).toEqual([72, 0, 0, 0, 1]);
    expect([...bytes.subarray(36)]).toEqual(body);
  });

  it("D22: there is none without viommu", () => {
    for (const type of ["hvm", "pvh"]) {
      expect(dmarOf(guest(`type='${type}'\nviommu=[]`))).toBeNull();
      expect(dmarOf(guest(`type='${type}'`))).toBeNull();
    }
  });

  it("D28: its width, and that of DMA addresses, follow the memory of the guest", () => {
    const widths = (text: string) => {
      const { hostAddressWidth, units } = guest(text);
      return [hostAddressWidth, units[0]!.profile.capabilities.SAGAW];
    };
    expect(widths(VIOMMU)).toEqual([39, 0b0010]);
    expect(widths(`memory=${600 * 1024}\n${VIOMMU}`)).toEqual([48, 0b0110]);
    expect(widths("viommu=['type=intel_vtd,address_width=57']")).toEqual([52, 0b1110]);
    expect(refusal(`memory=${600 * 1024}\nviommu=['type=intel_vtd,address_width=39']`)).toBe(
      'ERR_VIOMMU_CONFIG_RULE: g.cfg:3:9: viommu[0] ("type=intel_vtd,address_width=39") has 39 bits of ' +
        "address, and 614400 MiB of memory need 48; write address_width=48, or leave it out",
    );
  });

  it("D24: intremap=true is yes", () => {
    for (const [word, IR] of Object.entries({ true: 1, 1: 1, false: 0, 0: 0 })) {
      expect(unitOf(`intremap=${word}`).profile.capabilities).toMatchObject({ IR, EIM: IR });
    }
  });

  it("keys of viommu are capabilities of the unit", () => {
    expect(unitOf("dmaremap=0").profile.capabilities).toMatchObject({ SAGAW: 0, IR: 1 });
    expect(unitOf("caching_mode=1,eim=0").profile.capabilities).toMatchObject({ CM: 1, EIM: 0 });
    expect(unitOf("base=0xfed92000").base).toBe(0xfed9_2000);
  });
});

describe("the machine of a domain", () => {
  it("HVM: emulated cards and disks have slots and pins as in Xen, MSI-X where the model has it", () => {
    const text = `vif=['model=e1000','type=vif','model=virtio-net']
      disk=['/a,,hda','/b,,xvdb','/c,,xvde','/d,,sda','/e,,xvda1','/f,,hdd:cdrom',
            'vdev=xvdf,specification=virtio,target=/g']`;
    expect(devices(text)).toEqual([
      "vif0 nic 00:04.0 pin 32",
      "vif2 nic 00:05.0 4 vectors",
      "hda block 00:06.0 pin 40",
      "xvdb block 00:07.0 pin 44",
      "sda block 00:08.0 pin 17",
      "xvdf block 00:09.0 4 vectors",
    ]);
    expect(guest(text).notices).toEqual([
      { place: "g.cfg:2:20", key: "vif[1]", text: "paravirtual, and so not behind an IOMMU" },
      { place: "g.cfg:3:34", key: "disk[2]", text: "paravirtual, and so not behind an IOMMU" },
      { place: "g.cfg:3:55", key: "disk[4]", text: "paravirtual, and so not behind an IOMMU" },
      { place: "g.cfg:3:67", key: "disk[5]", text: "a CD drive, and this machine has none" },
    ]);
  });

  it("PVH: what is paravirtual is not behind an IOMMU", () => {
    const text = `type='pvh'\n${VIF}disk=['/a,,xvda','vdev=xvdb,specification=virtio,target=/b']`;
    expect(devices(text)).toEqual(["xvdb block 00:04.0 4 vectors"]);
  });

  it("devices of the host are cards that are passed through, in the slots that are kept for them", () => {
    const text = `pci=['03:00.1','04:00.*@4','name=uplink','0001:05:00.0']\n${VIF}`;
    expect(devices(text)).toEqual([
      "pci0 nic 00:05.0 4 vectors",
      "pci1 nic 00:04.0 4 vectors",
      "vif0 nic 00:06.0 pin 40",
    ]);
    const places = (config: GuestConfig) =>
      config.devices.map(({ hostAddress }) => hostAddress && busAddressText(hostAddress));
    expect(places(guest(text))).toEqual(["03:00.1", "04:00.0", null]);
    expect(guest(text).notices.map(({ place, key }) => `${place} ${key}`)).toEqual([
      "g.cfg:2:28 pci[2]",
      "g.cfg:2:42 pci[3]",
    ]);
    expect(guest(`${text}viommu=['type=intel_vtd,caching_mode=1']`).host).not.toBeNull();
    expect(guest(`${text}viommu=['type=intel_vtd,dmaremap=0']`).host).not.toBeNull();
  });

  it("vCPUs are all that the guest may bring up; --vcpus and --seed replace numbers", () => {
    expect(guest("maxvcpus=6").processors.apicIds).toHaveLength(6);
    const overrides = [
      { path: ["vcpus", "count"], value: 1 },
      { path: ["workload", "seed"], value: 9 },
    ];
    const { processors, workload } = parseGuest("g.cfg", START + VIF, overrides);
    expect(processors.apicIds).toHaveLength(1);
    expect(workload).toMatchObject({ seed: 9, affinityChanges: 0, interrupts: 10_000 });
  });

  it("names are made into ones that a report can have", () => {
    expect(guest("name='web.example.org'").name).toBe("web-example-org");
    expect(guest("name='4'").name).toBe("guest-4");
  });
});

describe("what cannot be run", () => {
  it.each<[string, string]>([
    [
      "type='pv'",
      '2:6: type ("pv") makes a PV guest, which has no ACPI tables and no PCI bus; write',
    ],
    [
      "vcpus=288",
      "2:7: vcpus (288) asks for 288 vCPUs, and without 32-bit ids interrupts reach 255;",
    ],
    [
      "vcpus=288\nviommu=['type=intel_vtd,eim=0']",
      "2:7: vcpus (288) asks for 288 vCPUs, and without",
    ],
    ["maxvcpus=288", "2:10: maxvcpus (288) asks for 288 vCPUs"],
    [
      `pci=['03:00.0']\n${VIOMMU}`,
      '3:9: viommu[0] ("type=intel_vtd") has no caching mode, and without it the guest does not tell',
    ],
    [
      "pci=['03:00.0@5','04:00.0@5']",
      '2:18: pci[1] ("04:00.0@5") asks for slot 5, which is taken;',
    ],
    ["pci=['03:00.0@2']", '2:6: pci[0] ("03:00.0@2") asks for slot 2, which is taken;'],
    [
      "pci=['03:00.0','03:00.0']",
      '2:16: pci[1] ("03:00.0") is the device that "pci0" is; give each its own',
    ],
    [
      "memory=2",
      "2:8: memory (2) has no 3 MiB in one piece below 4 GiB; firmware needs them; add some",
    ],
    [
      "viommu=['type=intel_vtd,base=0xfec00000']",
      '2:9: viommu[0] ("type=intel_vtd,base=0xfec00000") has 0xfec00000-',
    ],
    [
      "disk=['/a,,hda','/b,,hda']",
      '2:17: disk[1] ("/b,,hda") is hda, as disk[0]; give each its own',
    ],
    [
      `vif=[${"'',".repeat(29)}]`,
      '2:90: vif[28] ("") has no slot: a bus has 28 for devices; leave',
    ],
  ])("%s", (text, expected) => {
    const message = refusal(text);
    expect(message.slice(0, 30 + expected.length)).toBe(
      `ERR_VIOMMU_CONFIG_RULE: g.cfg:${expected}`,
    );
    expect(message).not.toContain("\n");
  });

  it("problems of the file come from the parser", () => {
    expect(refusal("a = b")).toMatch(/^ERR_VIOMMU_XL_SYNTAX: g\.cfg:2:5: "b" is no value; /);
    expect(refusal("viommu=['type=x']")).toMatch(
      /^ERR_VIOMMU_XL_VALUE: g\.cfg:2:15: "type" is "x"/,
    );
  });

  it("a number from the command line is told without a line", () => {
    const overrides = [{ path: ["vcpus", "count"], value: 0 }];
    expect(() => parseGuest("g.cfg", START + VIF, overrides)).toThrow(
      "g.cfg: vcpus (0) is not possible; give a whole number from 1 to 65536",
    );
  });
});

describe("the command line with an xl.cfg", () => {
  it("run: the example, with what was left out in the report", async () => {
    const text = await command("run", EXAMPLE);
    expect(text.code).toBe(0);
    expect(text.out).toContain("  left out: serial, on_crash: no part of this machine\n");
    const { code, out } = await command("run", EXAMPLE, "--json");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      ok: true,
      name: "xen-guest",
      vcpus: { count: 288 },
      units: [{ name: "viommu0", interruptRemapping: true, dmaRemapping: true, devices: 4 }],
      interrupts: { sent: 10_000, served: 10_000 },
      notices: [{ key: "serial" }, { key: "on_crash" }],
    });
  });

  it("run: every HVM and PVH file of the fixtures, and the PV one not", async () => {
    for (const name of readdirSync(FIXTURES).filter((file) => file.endsWith(".cfg"))) {
      const { code, err } = await command("run", join(FIXTURES, name), "--json");
      expect({ name, code }).toEqual({ name, code: name === "pv.cfg" ? 2 : 0 });
      if (code === 2) expect(err).toMatch(/^viommu: ERR_VIOMMU_CONFIG_RULE: .*pv\.cfg:1:1: type /);
    }
  });

  it("dmar --config: the table, or that there is none", async () => {
    const { code, out } = await command("dmar", "--config", EXAMPLE);
    expect(code).toBe(0);
    expect(out).toContain("host addresses of 39 bits, INTR_REMAP\nDRHD unit at 0xfed90000");
    const without = await command("dmar", "--config", join(FIXTURES, "hvm-plain.cfg"));
    expect(without.code).toBe(2);
    expect(without.err).toMatch(/hvm-plain\.cfg: the guest has no remapping unit, and so no DMAR/);
  });

  it("a file without an extension is told by what stands in it", async () => {
    await withFolder(async (folder) => {
      const file = join(folder, "guest");
      writeFileSync(file, `# a domain\n${START}${VIOMMU}`);
      const { code, out } = await command("run", file, "--json");
      expect({ code, ...(JSON.parse(out) as object) }).toMatchObject({ code: 0, name: "g" });
    });
  });
});
