from .conv4 import Conv4 as Conv4
from .conv4 import Maps as Maps
from .dense import Dense as Dense
from .mlp import MLP as MLP
from .normalisation import BatchNorm as BatchNorm
from .policy import GaussianPolicy as GaussianPolicy
from .recurrent import LSTMCell as LSTMCell
from .resnet import ResNet12 as ResNet12
