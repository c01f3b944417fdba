/** How many are kept in words. */
const KEPT = 20;

/** What went wrong in a guest: the first ones in words, all of them counted. */
export class Problems {
  readonly texts: string[] = [];
  count = 0;

  add(text: string): void {
    this.count += 1;
    if (this.texts.length < KEPT) this.texts.push(text);
  }
}
