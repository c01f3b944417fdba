import { hiFromBigint, loFromBigint } from "@viommu/plugin";
import { HostPermissionTables, TABLE_REGION } from "./host-permission-tables.ts";
import type { Pages, Slot } from "./host-permission-tables.ts";
import type { Ask } from "./machine.ts";
import { ones } from "./oracle.ts";
import type { Random } from "./random.ts";
import { changeTables, contextEntryOf, pasidEntries, scalableSoup } from "./scalable-soup.ts";
import type { Soup } from "./soup.ts";

/** What PASID table entries with one HPTDID have in common (VT-d 6.2.6.2). */
interface Domain {
  readonly hptDomainId: number;
  readonly root: bigint;
  readonly size: number;
}

/** A machine in scalable mode with host permission tables; most translated requests need them. */
export class HostPermissionSoup {
  readonly soup: Soup;
  private readonly tables: HostPermissionTables;
  private domains: readonly Domain[] = [];
  /** Translated requests of late. */
  private readonly asked: Ask[] = [];

  constructor(random: Random) {
    this.soup = scalableSoup(random, {
      hostAddressWidth: random.of([46, 50, 52]),
      regions: [TABLE_REGION],
      capabilities: { DT: 1, HPTS: 1, HPT1GPS: random.below(2) },
    });
    this.tables = new HostPermissionTables(this.soup);
    this.useTables();
  }

  /** A translated request, often one of the last ones or close to it. */
  request(): Ask {
    const { asked, soup } = this;
    const { random } = soup;
    const access = random.of([1, 2, 3, 1, 2, 0]) | random.of([0, 0, 0, 0, 0, 4, 8, 8]);
    if (asked.length > 0 && random.chance(60)) {
      const old = random.of(asked);
      const flipped = random.chance(40) ? 1n << BigInt(random.of([11, 12, 14, 21, 22, 30])) : 0n;
      return { ...old, access, address: old.address ^ flipped };
    }
    const pasid = random.chance(97) ? random.of([0, 1, 2, 64, 65]) : Number(random.bits(20));
    const ask = {
      sourceId: random.of(soup.sources.slice(0, 6)),
      pasid: random.chance(soup.capabilities.PTRS === 1 ? 60 : 97) ? -1 : pasid,
      addressType: 2,
      access,
      address: this.tables.address(),
    };
    asked.push(ask);
    if (asked.length > 48) asked.shift();
    return ask;
  }

  /** Changes tables, and invalidates what may have been made of them. */
  change(): void {
    const { soup, tables } = this;
    const { random, engine } = soup;
    switch (random.below(8)) {
      case 0:
      case 1:
      case 2:
        for (let i = 0; i < 6; i += 1) this.changeOne();
        return;
      case 3:
        for (const slot of tables.slots()) if (random.chance(8)) tables.write(slot);
        this.invalidateDomains();
        return;
      case 4:
        for (const slot of tables.slots()) if (random.chance(15)) tables.write(slot);
        engine.invalidateHostPermissionsGlobal();
        return;
      case 5:
        this.changePasidEntries();
        return;
      case 6:
        for (const source of soup.sources) this.writeContextFlags(source);
        for (const source of soup.sources) engine.invalidateContextDevice(0, source, 0);
        break;
      default:
        changeTables(soup);
        this.useTables();
        engine.invalidateContextGlobal();
    }
    engine.invalidatePasidCacheGlobal();
    engine.invalidateIotlbGlobal();
    engine.invalidateHostPermissionsGlobal();
  }

  /** Context entries and PASID table entries make use of the tables. */
  private useTables(): void {
    this.chooseDomains();
    for (const source of this.soup.sources) this.writeContextFlags(source);
    for (const at of pasidEntries(this.soup)) this.writePasidEntry(at);
  }

  /** DTE, HPTE and EPTR: all else in the context entry stays. */
  private writeContextFlags(source: number): void {
    const { soup } = this;
    const { random, capabilities } = soup;
    const at = contextEntryOf(soup, source);
    let low = soup.read(at)! & ~0x64n;
    if (random.chance(95)) low |= 4n;
    if (random.chance(88)) low |= 0x20n;
    const eptr = (low & 8n) !== 0n ? 70 : 5;
    if (capabilities.PTRS === 1 && random.chance(eptr)) low |= 0x40n;
    soup.write(at, low);
  }

  /** HPTSZ, HPTPFD, HPTPTR and HPTDID; now and then a reserved bit. */
  private writePasidEntry(at: bigint): void {
    const { soup } = this;
    const { random, hostAddressWidth, capabilities } = soup;
    const { hptDomainId, root, size } = random.of(this.domains);
    const prefetch = random.chance(30) ? 4n : 0n;
    const reserved = soup.some(ones(11, 3) | ones(63, hostAddressWidth), 4);
    soup.write(at + 32n, root | prefetch | BigInt(size) | reserved);
    soup.write(at + 40n, BigInt(hptDomainId) | soup.some(ones(63, 4 + 2 * capabilities.ND), 2));
  }

  private chooseDomains(): void {
    this.domains = [1, 2, 3, 5].map((hptDomainId) => ({
      hptDomainId,
      root: this.tables.table(4),
      size: this.soup.random.below(4),
    }));
  }

  private changePasidEntries(): void {
    const { soup } = this;
    const { engine, random } = soup;
    const entries = pasidEntries(soup);
    const isNew = random.chance(50);
    if (isNew) this.chooseDomains();
    for (const at of entries) if (isNew || random.chance(60)) this.writePasidEntry(at);
    const domainIds = new Set(entries.map((at) => Number(soup.read(at + 8n)! & 0xffffn)));
    for (const domainId of domainIds) engine.invalidatePasidCacheDomain(domainId);
    for (const domainId of domainIds) engine.invalidateIotlbDomain(domainId);
    this.invalidateDomains();
  }

  /** Changes an entry that a request has met, and drops just what it stands for. */
  private changeOne(): void {
    const { soup, asked, domains, tables } = this;
    const { random } = soup;
    if (asked.length === 0) return;
    const { address } = random.of(asked);
    const slot = tables.find(random.of(domains).root, address, random.of([1, 1, 2, 2, 3, 4]));
    if (slot !== null) this.invalidate(slot, tables.change(slot, address));
  }

  private invalidate(slot: Slot, pages: Pages): void {
    const { engine } = this.soup;
    const roots = new Map(
      this.domains.map(({ root }) => [root, this.tables.addressesOf(slot, root)]),
    );
    for (const { hptDomainId, root } of this.domains) {
      const entries = roots.get(root)!;
      if (entries.length > 24) {
        engine.invalidateHostPermissionsDomain(hptDomainId);
        continue;
      }
      for (const entry of entries) {
        const first = entry | pages.address;
        const [hi, lo] = [hiFromBigint(first), loFromBigint(first)];
        engine.invalidateHostPermissionsPages(hptDomainId, hi, lo, pages.order);
      }
    }
  }

  private invalidateDomains(): void {
    const { engine } = this.soup;
    for (const { hptDomainId } of this.domains) engine.invalidateHostPermissionsDomain(hptDomainId);
  }
}
