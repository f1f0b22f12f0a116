from . import miniimagenet as miniimagenet
from . import omniglot as omniglot
from .environment import Environment as Environment
from .folder import image_folder as image_folder
from .image_classes import ImageClasses as ImageClasses
from .images import Images as Images
from .joint import Joint as Joint
from .sinusoid import Sinusoid as Sinusoid
