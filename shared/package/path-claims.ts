/**
 * Which paths of a folder are taken, so that no two things of an image land in one place. Compared
 * without regard to case: on the file systems of Windows and macOS `A` and `a` are one file.
 */
export class PathClaims {
  private readonly files = new Set<string>();
  private readonly folders = new Set<string>();

  /** @returns false when the path is taken, or leads through a file */
  claimFile(path: string): boolean {
    const key = path.toLowerCase();
    if (this.files.has(key) || this.folders.has(key)) return false;
    if (!this.claimParents(key)) return false;
    this.files.add(key);
    return true;
  }

  /** @returns false when the path, or one that it leads through, is a file */
  claimFolder(path: string): boolean {
    const key = path.toLowerCase();
    if (this.files.has(key) || !this.claimParents(key)) return false;
    this.folders.add(key);
    return true;
  }

  private claimParents(key: string): boolean {
    const parents: string[] = [];
    for (let slash = key.indexOf('/'); slash >= 0; slash = key.indexOf('/', slash + 1)) {
      parents.push(key.slice(0, slash));
    }
    if (parents.some((parent) => this.files.has(parent))) return false;
    for (const parent of parents) this.folders.add(parent);
    return true;
  }
}
