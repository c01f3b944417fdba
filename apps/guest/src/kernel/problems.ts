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

  save(): { readonly texts: readonly string[]; readonly count: number } {
    return { texts: [...this.texts], count: this.count };
  }

  restore({ texts, count }: ReturnType<Problems["save"]>): void {
    this.texts.splice(0, Infinity, ...texts);
    this.count = count;
  }
}
