import { MapFlag, MapResult } from "@viommu/plugin";
import type { PagingSpace, PagingSpaceOptions, PhysicalMapping } from "@viommu/plugin";
import { pagesIn } from "../page-order.ts";
import { PageBatch } from "./page-batch.ts";
import { hex, refusal } from "./refusal.ts";
import { SecondStageTables } from "./second-stage-tables.ts";
import type { TableTarget } from "./table-entries.ts";
import type { Attachment, SpaceHost, UnitSpace } from "./unit-space.ts";

const RIGHTS = MapFlag.READ | MapFlag.WRITE;

/** A paging space of a physical unit: second-stage tables, and what its caches hold of them. */
export class SecondStageSpace implements PagingSpace, UnitSpace {
  readonly kind = "paging";
  readonly attachments: Set<Attachment> = new Set<Attachment>();
  /** Nested spaces on top of it. */
  readonly nested: Set<UnitSpace> = new Set<UnitSpace>();
  readonly isNestingParent: boolean;
  readonly domainId: number;
  private readonly host: SpaceHost;
  private readonly tables: SecondStageTables;
  private readonly batch = new PageBatch();
  private readonly pages: number;
  private tracksDirty = false;
  private destroyed = false;

  /** Throws ERR_VIOMMU_PIOMMU when the unit has no second stage, or ids or frames run out. */
  constructor(host: SpaceHost, options: PagingSpaceOptions) {
    const { abilities, domainIds, frames, tables } = host;
    if (abilities.addressWidth === 0) {
      throw refusal(
        "the unit has no second stage in this mode; use another unit, or nested spaces",
      );
    }
    this.host = host;
    this.isNestingParent = options.nestingParent ?? false;
    this.pages = 2 ** (abilities.inputWidth - 12);
    this.domainId = domainIds.take();
    try {
      this.tables = new SecondStageTables({
        frames,
        tables,
        levels: abilities.levels,
        quota: options.frameQuota,
        flush: () => {
          this.flush();
        },
      });
    } catch (error) {
      domainIds.release(this.domainId);
      throw error;
    }
  }

  get frames(): number {
    return this.destroyed ? 0 : this.tables.frames;
  }

  target(): TableTarget {
    const { domainId, tracksDirty } = this;
    return { kind: "second-stage", domainId, root: this.tables.root, tracksDirty, stage: null };
  }

  map(dfn: number, mfn: number, order: number, flags: number): number {
    const { abilities } = this.host;
    const { hostAddressWidth, pageOrders } = abilities;
    this.checkAlive();
    if (!pageOrders.includes(order)) {
      throw refusal(`pages of order ${order} can't be mapped; use ${pageOrders.join(", ")}`);
    }
    checkAligned("dfn", dfn, order);
    checkAligned("mfn", mfn, order);
    if ((flags & RIGHTS) === 0) throw refusal("a mapping without rights; unmap the pages instead");
    if ((flags & MapFlag.SNOOP) !== 0 && abilities.capabilities.SC === 0) {
      throw refusal("MapFlag.SNOOP on a unit without snoop control; see info.snoop");
    }
    const count = pagesIn(order);
    if (dfn + count > this.pages || mfn + count > 2 ** (hostAddressWidth - 12)) {
      return MapResult.BEYOND_WIDTH;
    }
    const result = this.tables.map(dfn, mfn, order / 9 + 1, flags);
    this.note(dfn, order);
    return result;
  }

  unmap(dfn: number, order: number): number {
    this.checkAlive();
    if (dfn >= this.pages) return MapResult.BEYOND_WIDTH;
    const within = this.orderWithin(dfn, order);
    const result = this.tables.unmap(dfn, within);
    this.note(dfn, within);
    return result;
  }

  flush(): void {
    this.checkAlive();
    const { batch, tables } = this;
    if (!batch.isEmpty) this.invalidate(batch, !tables.hasRemoved);
    tables.freeRemoved();
  }

  lookup(dfn: number, out: PhysicalMapping): boolean {
    this.checkAlive();
    return dfn >= 0 && dfn < this.pages && this.tables.lookup(dfn, out);
  }

  setDirtyTracking(on: boolean): void {
    this.checkAlive();
    if (this.host.abilities.capabilities.SSADS === 0 || !this.host.abilities.scalable) {
      throw refusal("the unit sets no dirty marks (ECAP.SSADS); see info.dirtyTracking");
    }
    if (on === this.tracksDirty) return;
    // while SSADE is 0 the unit sets no marks: those of an earlier time go first
    if (on) this.tables.takeDirty(0, this.host.abilities.inputWidth - 12, () => undefined);
    const before = [this, ...this.nested].map((space) => ({ space, old: space.target() }));
    this.tracksDirty = on;
    for (const { space, old } of before) this.host.rewrite(space, old);
  }

  readAndClearDirty(dfn: number, order: number, dirty: (dfn: number, order: number) => void): void {
    this.checkAlive();
    if (!this.tracksDirty)
      throw refusal("dirty tracking is off; call setDirtyTracking(true) first");
    if (dfn >= this.pages) return;
    const found: { dfn: number; order: number }[] = [];
    const cleared = new PageBatch();
    this.tables.takeDirty(dfn, this.orderWithin(dfn, order), (page, pageOrder) => {
      found.push({ dfn: page, order: pageOrder });
      cleared.add(page, pageOrder);
    });
    // from here on writes set the marks anew; what was found is told after that
    if (!cleared.isEmpty) this.invalidate(cleared, true);
    for (const page of found) dirty(page.dfn, page.order);
  }

  destroy(): void {
    this.checkAlive();
    if (this.attachments.size > 0 || this.nested.size > 0) {
      throw refusal(
        `the space is used by ${this.attachments.size} attachments and ${this.nested.size} nested ` +
          "spaces; attach the devices to another space, destroy the nested spaces",
      );
    }
    this.destroyed = true;
    this.host.engine.invalidateIotlbDomain(this.domainId);
    this.tables.destroy();
    this.host.domainIds.release(this.domainId);
    this.host.forget(this);
  }

  private invalidate(batch: PageBatch, leafOnly: boolean): void {
    const { abilities, deviceTlbs, engine } = this.host;
    batch.invalidate(engine, this.domainId, leafOnly, abilities.capabilities);
    // what went through both stages is cached by first-stage addresses: none of it may stay
    for (const { domainId } of this.nested) engine.invalidateIotlbDomain(domainId);
    for (const { device, pasid } of this.attachments) {
      batch.forEach((dfn, order) => {
        deviceTlbs.drop(device, pasid, dfn, order);
      });
    }
    for (const { attachments } of this.nested) {
      for (const { device, pasid } of attachments) deviceTlbs.drop(device, pasid);
    }
    batch.clear();
  }

  private note(dfn: number, order: number): void {
    if (this.tables.hasReplaced) this.batch.add(dfn, order);
    this.tables.hasReplaced = false;
  }

  /** An order that the address width has room for, of a range that begins where it can. */
  private orderWithin(dfn: number, order: number): number {
    if (!Number.isInteger(order) || order < 0) throw refusal(`${order} is no order; give 0 to 52`);
    checkAligned("dfn", dfn, order);
    return Math.min(order, this.host.abilities.inputWidth - 12);
  }

  private checkAlive(): void {
    if (this.destroyed) throw refusal("the space was destroyed; create another one");
  }
}

function checkAligned(name: string, frame: number, order: number): void {
  if (Number.isSafeInteger(frame) && frame >= 0 && frame % pagesIn(order) === 0) return;
  throw refusal(`${name} ${hex(frame)} is no multiple of 2^${order}; align it`);
}
