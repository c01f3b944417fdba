/** A member of a {@link FilledList}; it knows its place, so that it is removed at once. */
export interface Fillable {
  /** Index in the list, or -1. */
  filledAt: number;
}

/** Those of a set that may have something cached. Adding, removing and visiting cost no search. */
export class FilledList<T extends Fillable> {
  readonly items: T[] = [];

  add(item: T): void {
    item.filledAt = this.items.length;
    this.items.push(item);
  }

  remove(item: T): void {
    if (item.filledAt < 0) return;
    const last = this.items.pop()!;
    if (last !== item) {
      this.items[item.filledAt] = last;
      last.filledAt = item.filledAt;
    }
    item.filledAt = -1;
  }

  /** Takes the last one out, or undefined. */
  take(): T | undefined {
    const item = this.items.pop();
    if (item !== undefined) item.filledAt = -1;
    return item;
  }
}
