/** A member of a {@link PlacedList}; it knows its place, so that it is removed without a search. */
export interface Placed {
  /** Index in the list, or -1. */
  place: number;
}

/** A list in no order. Adding and removing cost the same however long it is. */
export class PlacedList<T extends Placed> {
  readonly items: T[] = [];

  add(item: T): void {
    item.place = this.items.length;
    this.items.push(item);
  }

  /** Does nothing for an item that is in no list. */
  remove(item: T): void {
    if (item.place < 0) return;
    const last = this.items.pop()!;
    if (last !== item) {
      this.items[item.place] = last;
      last.place = item.place;
    }
    item.place = -1;
  }

  /** Takes the last one out, or undefined. */
  take(): T | undefined {
    const item = this.items.pop();
    if (item !== undefined) item.place = -1;
    return item;
  }
}
