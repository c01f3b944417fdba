import { describe, expect, it } from "vitest";
import { parseXlConfig, readXlDomain, XlError } from "@viommu/xen";
import type { XlDomain } from "@viommu/xen";

const START = 'name = "g"\ntype = "hvm"\n';

const domain = (text: string): XlDomain => readXlDomain(parseXlConfig(START + text));

/** Places and texts of what is wrong; lines count from the text given. */
function refused(text: string): string[] {
  try {
    domain(text);
  } catch (error) {
    if (!(error instanceof XlError)) throw error;
    expect(error.code).toBe("ERR_VIOMMU_XL_VALUE");
    return error.problems.map(({ line, column, text: what }) => `${line - 2}:${column} ${what}`);
  }
  return [];
}

describe("viommu", () => {
  it("has defaults for all but its type", () => {
    expect(domain("viommu = ['type=intel_vtd']").viommu).toEqual({
      ...{ line: 3, column: 11, type: "intel_vtd", intremap: true, dmaremap: true, eim: true },
      ...{ cachingMode: false, addressWidth: null, base: 0xfed9_0000 },
    });
    expect(domain("").viommu).toBeNull();
    expect(domain("viommu = []").viommu).toBeNull();
  });

  it("D24: yes and no are taken as documented, and as numbers", () => {
    for (const yes of ["1", "true", "yes", "on"]) {
      expect(domain(`viommu=['type=intel_vtd,intremap=${yes}']`).viommu!.intremap).toBe(true);
    }
    for (const no of ["0", "false", "no", "off"]) {
      expect(domain(`viommu=['type=intel_vtd,intremap=${no}']`).viommu).toMatchObject({
        intremap: false,
        eim: false,
      });
    }
  });

  it("all keys", () => {
    const text =
      "type=intel_vtd, dmaremap=0 ,eim=0,caching_mode=1,address_width=57,base=0xfed91000,";
    expect(domain(`viommu=['${text}']`).viommu).toMatchObject({
      ...{ dmaremap: false, eim: false, cachingMode: true, addressWidth: 57, base: 0xfed9_1000 },
    });
  });

  it.each<[string, string]>([
    ["'intremap=1'", '1:11 "viommu" begins with "intremap"'],
    ["'intel_vtd'", '1:11 "viommu" begins with "intel_vtd"'],
    ["'type=amd_iommu'", '1:16 "type" is "amd_iommu"'],
    ["'type=intel_vtd,intrmap=1'", '1:26 "viommu" has no key "intrmap"'],
    ["'type=intel_vtd,intremap'", '1:26 "viommu" has no key "intremap"'],
    ["'type=intel_vtd,toString=1'", '1:26 "viommu" has no key "toString"'],
    ["'type=intel_vtd,intremap=maybe'", '1:35 "intremap" is "maybe"'],
    ["'type=intel_vtd,address_width=40'", '1:40 "address_width" is "40"'],
    ["'type=intel_vtd,base=0xfed90800'", '1:31 "base" is "0xfed90800"'],
    ["'type=intel_vtd,intremap=0,dmaremap=0'", '1:10 the unit of "viommu" remaps neither'],
    ["'type=intel_vtd,intremap=0,eim=1'", '1:10 "viommu" has eim without intremap'],
    ["'type=intel_vtd', 'type=intel_vtd'", '1:28 "viommu" has a second entry'],
    ["['type=intel_vtd']", '1:10 an item of "viommu" is a list'],
  ])("%s", (entries, expected) => {
    expect(refused(`viommu=[ ${entries} ]`)[0]).toContain(expected);
  });

  it("is a list, and not for PV guests", () => {
    expect(refused("viommu='type=intel_vtd'")).toEqual(['1:8 "viommu" is one value']);
    expect(refused("type='pv'\nviommu=['type=intel_vtd']")[0]).toContain("this one is PV");
  });
});

describe("what a guest is", () => {
  it.each<[string, Partial<XlDomain>]>([
    ["", { vcpus: 1, maxvcpus: 1, memory: 32, maxmem: 32, type: "hvm" }],
    ["vcpus=0x10", { vcpus: 16, maxvcpus: 16 }],
    ["maxvcpus=8", { vcpus: 1, maxvcpus: 8 }],
    ["memory=0100\nmaxmem='128'", { memory: 64, maxmem: 128 }],
    ["type='pvh'", { type: "pvh" }],
  ])("%j", (text, expected) => {
    expect(domain(text)).toMatchObject(expected);
  });

  it("is PV without type, or as the old builder says", () => {
    const type = (text: string) => readXlDomain(parseXlConfig(`name='g'\n${text}`)).type;
    expect([type(""), type("builder='generic'"), type("builder='hvm'")]).toEqual([
      "pv",
      "pv",
      "hvm",
    ]);
  });

  it.each<[string, string]>([
    ["type='xen'", '1:6 "type" is "xen"'],
    ["builder='generic'", '1:9 "builder" makes this guest pv, and "type" hvm'],
    ["builder='linux'", '1:9 "builder" is "linux"'],
    ["name=''", '1:1 "name" is missing'],
    ["vcpus=0", '1:7 "vcpus" is "0"'],
    ["vcpus='08'", '1:7 "vcpus" is "08"'],
    ["vcpus='four'", '1:7 "vcpus" is "four"'],
    ["vcpus=[4]", '1:7 "vcpus" is a list'],
    ["vcpus='-1'", '1:7 "vcpus" is "-1"'],
    ["memory=512\nmemory+=1", '2:9 "memory" is a number that += was used on'],
    ["vcpus=4\nmaxvcpus=2", '2:1 "maxvcpus" is less than the 4 of vcpus'],
    ["memory=512\nmaxmem=256", '2:1 "maxmem" is less than the 512 of memory'],
  ])("%j is refused", (text, expected) => {
    expect(refused(text)).toEqual([expected]);
  });

  it("all that is wrong is told, in the order of the file", () => {
    const text = "vif=['type=x']\nvcpus='x'\ndisk=['a']\npci=['b']";
    expect(refused(text).map((problem) => problem.slice(0, 2))).toEqual(["1:", "2:", "3:", "4:"]);
  });

  it("keys that do not count are listed: known ones, unknown ones, replaced ones", () => {
    expect(domain("vnc=1\nvcpu=4\nvcpus=2\nvcpus=4").ignored).toEqual([
      { name: "vnc", line: 3, column: 1, reason: "no effect" },
      { name: "vcpu", line: 4, column: 1, reason: "unknown" },
      { name: "vcpus", line: 5, column: 1, reason: "replaced" },
    ]);
  });
});

describe("pci", () => {
  it.each<[string, string]>([
    ["'03:00.8'", '1:8 an entry of "pci" has "03:00.8"'],
    ["'03:20.0'", '1:8 an entry of "pci" has "03:20.0"'],
    ["'03:00'", '1:8 an entry of "pci" has "03:00"'],
    ["'03:00.0@20'", '1:8 an entry of "pci" has "03:00.0@20"'],
    ["'03:00.0,permissve=1'", '1:16 "pci" has no key "permissve"'],
    ["'03:00.0,seize=2'", '1:22 "seize" is "2"'],
    ["'03:00.0,rdm_policy=lax'", '1:27 "rdm_policy" is "lax"'],
    ["'03:00.0,name=x'", '1:7 an entry of "pci" is "03:00.0,name=x"'],
    ["'permissive=1'", '1:7 an entry of "pci" is "permissive=1"'],
  ])("%s", (entry, expected) => {
    expect(refused(`pci=[ ${entry} ]`)).toEqual([expected]);
  });
});

describe("disk and vif", () => {
  it.each<[string, string]>([
    ["disk=['/a,raw']", '1:8 "disk" has no vdev in "/a,raw"'],
    ["disk=['vdev=hda']", '1:8 "disk" has no target in "vdev=hda"'],
    ["disk=['/a,row,hda']", '1:11 "disk" has the format "row"'],
    ["disk=['/a,raw,hda,x']", '1:19 "disk" has the access "x"'],
    ["disk=['/a,raw,hda,w,y']", '1:21 "disk" has "y" behind target'],
    ["disk=['/a,,hda:floppy']", '1:16 "disk" has the type "floppy"'],
    ["disk=['/a,raw,hda,size=1']", '1:19 "disk" has no key "size"'],
    ["disk=['/a,raw,hda,vdev=hdb']", '1:19 "disk" has a second vdev'],
    ["disk=['/a,,hda,script=s,script=t']", '1:25 "disk" has a second script'],
    ["disk=['http://x,hda']", '1:8 "disk" has a prefix "http:"'],
    ["disk=['/a,raw,hda,backendtype=x']", '1:31 "backendtype" is "x"'],
    ["vif=['mac=1:2']", '1:11 "mac" is "1:2"'],
    ["vif=['type=eth']", '1:12 "type" is "eth"'],
    ["vif=['bridge']", '1:7 "vif" has "bridge"'],
    [String.raw`vif=['ip=\"x\",type=eth']`, '1:6 "type" is "eth"'],
  ])("%s", (text, expected) => {
    expect(refused(text)[0]).toContain(expected);
  });
});
