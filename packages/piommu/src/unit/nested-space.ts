import { NO_PASID } from "@viommu/plugin";
import type { FirstStage, NestedSpace } from "@viommu/plugin";
import { EVERYTHING } from "./device-tlbs.ts";
import { pageAddress } from "./page-address.ts";
import type { SecondStageSpace } from "./paging-space.ts";
import { hex, refusal } from "./refusal.ts";
import { RID_PASID } from "./scalable-tables.ts";
import type { TableTarget } from "./table-entries.ts";
import type { Attachment, SpaceHost, UnitSpace } from "./unit-space.ts";

/** A guest's first-stage tables on top of a paging space (VT-d 3.8). */
export class NestedTables implements NestedSpace, UnitSpace {
  readonly kind = "nested";
  readonly attachments: Set<Attachment> = new Set<Attachment>();
  readonly parent: SecondStageSpace;
  readonly stage: FirstStage;
  readonly domainId: number;
  private readonly host: SpaceHost;
  private destroyed = false;

  /** Throws ERR_VIOMMU_PIOMMU for what the unit can't walk, or when ids run out. */
  constructor(host: SpaceHost, parent: SecondStageSpace, stage: FirstStage) {
    const { abilities, domainIds } = host;
    const { EAFS, FS5LP, NEST, SRS } = abilities.capabilities;
    if (!abilities.scalable || NEST === 0) {
      throw refusal("the unit has no nested translation; see info.nesting");
    }
    if (!parent.isNestingParent) {
      throw refusal("the parent was not made for nested spaces; create it with nestingParent");
    }
    const missing = [
      stage.levels === 5 && FS5LP === 0 ? "FS5LP" : "",
      stage.extendedAccessed && EAFS === 0 ? "EAFS" : "",
      stage.supervisor && SRS === 0 ? "SRS" : "",
    ].filter((name) => name !== "");
    if (missing.length > 0) {
      throw refusal(`the unit lacks ${missing.join(", ")}; compare capabilities before attaching`);
    }
    if (!(stage.rootFrame >= 0 && stage.rootFrame < 2 ** (abilities.inputWidth - 12))) {
      throw refusal(`the first-stage root ${hex(stage.rootFrame)} is beyond the parent's width`);
    }
    this.host = host;
    this.parent = parent;
    this.stage = stage;
    this.domainId = domainIds.take();
    parent.nested.add(this);
  }

  target(): TableTarget {
    const { domainId, stage } = this;
    return { ...this.parent.target(), kind: "nested", domainId, stage };
  }

  invalidate(page: number, order: number, leafOnly: boolean, unitOnly = false): void {
    const { deviceTlbs, engine } = this.host;
    const pasids = new Set<number>();
    for (const { pasid } of this.attachments) pasids.add(pasid === NO_PASID ? RID_PASID : pasid);
    const { hi, lo } = pageAddress(page);
    for (const pasid of pasids) {
      if (order >= EVERYTHING) engine.invalidatePasidIotlb(this.domainId, pasid);
      else engine.invalidatePasidIotlbPages(this.domainId, pasid, hi, lo, order, leafOnly);
    }
    if (unitOnly) return;
    for (const { device, pasid } of this.attachments) deviceTlbs.drop(device, pasid, page, order);
  }

  destroy(): void {
    if (this.destroyed) throw refusal("the space was destroyed already; do it once");
    if (this.attachments.size > 0) {
      throw refusal(
        `the space is used by ${this.attachments.size} attachments; attach those devices to another`,
      );
    }
    this.destroyed = true;
    this.host.engine.invalidateIotlbDomain(this.domainId);
    this.parent.nested.delete(this);
    this.host.domainIds.release(this.domainId);
    this.host.forget(this);
  }
}
