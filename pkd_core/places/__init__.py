"""Where several machines keep a workspace: whole objects in an object store or in a shared folder."""
