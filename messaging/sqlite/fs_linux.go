package sqlite

import "golang.org/x/sys/unix"

// fileSystems are the kinds that judge has an opinion on, by the numbers of statfs(2).
var fileSystems = map[uint32]string{
	0x6969: "nfs", 0x517B: "smb", 0xFE534D42: "smb", 0xFF534D42: "cifs", 0x5346414F: "afs", 0x00C36400: "ceph",
	0x0BD00BD0: "lustre", 0x01161970: "gfs2", 0x7461636F: "ocfs2", 0x73757245: "coda", 0x564C: "ncp",
	0x01021994: "tmpfs", 0x858458F6: "ramfs", 0x794C7630: "overlay", 0x65735546: "fuse", 0x01021997: "9p",
}

// fileSystem names the file system that a directory is on; empty for an ordinary one.
func fileSystem(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "" // no opinion; what is wrong will show when the file is opened
	}
	return fileSystems[uint32(st.Type)]
}
