"""What Python 2.7's pickle and cPickle wrote of {"image_data": array, "class_dict": OrderedDict(n1=[0, int64, 3],
n2=the same array)}, the array [[200, 7], [10, 39]] of uint8, in NumPy 1's spelling, by protocols 0, 1 and 2."""

PYTHON_2 = (
    (
        b"(dp0\nS'image_data'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cn"
        b"umpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\nRp7\n(I1\n(I2\nI2\ntp8\ncnumpy\ndt"
        b"ype\np9\n(S'u1'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'|'\np13\nNNNI-1\nI-1\nI0\ntp1"
        b"4\nbI00\nS\"\\xc8\\x07\\n'\"\np15\ntp16\nbsS'class_dict'\np17\nccollections\n"
        b"OrderedDict\np18\n((lp19\n(lp20\nS'n1'\np21\na(lp22\nI0\nacnumpy.core.mu"
        b"ltiarray\nscalar\np23\n(g9\n(S'i8'\np24\nI0\nI1\ntp25\nRp26\n(I3\nS'<'\np27\n"
        b"NNNI-1\nI-1\nI0\ntp28\nbS'\\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x00'\np29\ntp30"
        b"\nRp31\naL3L\naaa(lp32\nVn2\np33\nag7\naatp34\nRp35\ns."
    ),
    (
        b"(dp1\nS'image_data'\np2\ncnumpy.core.multiarray\n_reconstruct\np3\n(cn"
        b"umpy\nndarray\np4\n(I0\ntp5\nS'b'\ntRp6\n(I1\n(I2\nI2\ntp7\ncnumpy\ndtype\np8"
        b"\n(S'u1'\np9\nI0\nI1\ntRp10\n(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS\"\\xc8\\x07\\n"
        b"'\"\np11\ntbsS'class_dict'\np12\nccollections\nOrderedDict\np13\n((lp14\n"
        b"(lp15\nS'n1'\np16\na(lp17\nI0\nacnumpy.core.multiarray\nscalar\np18\n(g8"
        b"\n(S'i8'\np19\nI0\nI1\ntRp20\n(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbS'\\x02\\x00\\x00\\"
        b"x00\\x00\\x00\\x00\\x00'\np21\ntRp22\naL3L\naaa(lp23\nVn2\np24\nag6\naatRp25"
        b"\ns."
    ),
    (
        b"}q\x00(U\nimage_dataq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02(cnumpy\n"
        b"ndarray\nq\x03(K\x00tq\x04U\x01bq\x05tq\x06Rq\x07(K\x01(K\x02K\x02tq\x08cnumpy\ndtype\nq\t(U\x02u1q\nK\x00K\x01"
        b"tq\x0bRq\x0c(K\x03U\x01|q\rNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0ebI00\nU\x04\xc8\x07\n'q\x0ftq\x10bU\nclass_dictq\x11c"
        b"collections\nOrderedDict\nq\x12(]q\x13(]q\x14(U\x02n1q\x15]q\x16(K\x00cnumpy.core.multi"
        b"array\nscalar\nq\x17(h\t(U\x02i8q\x18K\x00K\x01tq\x19Rq\x1a(K\x03U\x01<q\x1bNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x1cbU\x08"
        b'\x02\x00\x00\x00\x00\x00\x00\x00q\x1dtq\x1eRq\x1fL3L\nee]q (X\x02\x00\x00\x00n2q!h\x07eetq"Rq#u.'
    ),
    (
        b"}q\x01(U\nimage_dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03(cnumpy\n"
        b"ndarray\nq\x04(K\x00tq\x05U\x01btRq\x06(K\x01(K\x02K\x02tq\x07cnumpy\ndtype\nq\x08(U\x02u1q\tK\x00K\x01tRq\n"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbI00\nU\x04\xc8\x07\n'q\x0btbU\nclass_dictq\x0cccollections\n"
        b"OrderedDict\nq\r(]q\x0e(]q\x0f(U\x02n1q\x10]q\x11(K\x00cnumpy.core.multiarray\nscalar"
        b"\nq\x12(h\x08(U\x02i8q\x13K\x00K\x01tRq\x14(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbU\x08\x02\x00\x00\x00\x00\x00\x00\x00q\x15tRq\x16L3L\n"
        b"ee]q\x17(X\x02\x00\x00\x00n2q\x18h\x06eetRq\x19u."
    ),
    (
        b"\x80\x02}q\x00(U\nimage_dataq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy"
        b"\nndarray\nq\x03K\x00\x85q\x04U\x01bq\x05\x87q\x06Rq\x07(K\x01K\x02K\x02\x86q\x08cnumpy\ndtype\nq\tU\x02u1q\nK\x00K\x01\x87q"
        b"\x0bRq\x0c(K\x03U\x01|q\rNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89U\x04\xc8\x07\n'q\x0ftq\x10bU\nclass_dictq\x11ccolle"
        b"ctions\nOrderedDict\nq\x12]q\x13(]q\x14(U\x02n1q\x15]q\x16(K\x00cnumpy.core.multiarray\n"
        b"scalar\nq\x17h\tU\x02i8q\x18K\x00K\x01\x87q\x19Rq\x1a(K\x03U\x01<q\x1bNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x1cbU\x08\x02\x00\x00\x00\x00\x00\x00\x00"
        b'q\x1d\x86q\x1eRq\x1f\x8a\x01\x03ee]q (X\x02\x00\x00\x00n2q!h\x07ee\x85q"Rq#u.'
    ),
    (
        b"\x80\x02}q\x01(U\nimage_dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy"
        b"\nndarray\nq\x04K\x00\x85q\x05U\x01b\x87Rq\x06(K\x01K\x02K\x02\x86q\x07cnumpy\ndtype\nq\x08U\x02u1q\tK\x00K\x01\x87Rq\n(K"
        b"\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\xc8\x07\n'q\x0btbU\nclass_dictq\x0cccollections\nOrder"
        b"edDict\nq\r]q\x0e(]q\x0f(U\x02n1q\x10]q\x11(K\x00cnumpy.core.multiarray\nscalar\nq\x12h\x08U"
        b"\x02i8q\x13K\x00K\x01\x87Rq\x14(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbU\x08\x02\x00\x00\x00\x00\x00\x00\x00q\x15\x86Rq\x16\x8a\x01\x03ee]q\x17(X\x02\x00"
        b"\x00\x00n2q\x18h\x06ee\x85Rq\x19u."
    ),
)
